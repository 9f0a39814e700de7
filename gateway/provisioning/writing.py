"""The reads that a write makes on its way: their failures prove that nothing was applied, and must say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.domain.errors import BackendReplyInvalid, BackendTimeout, BackendUnavailable


@contextmanager
def before_the_write() -> Iterator[None]:
    """Tell the failure of a read inside a write as *unavailable*: 504 is kept for what may have been applied.

    An adapter raises these two for reads alone; a write of unknown fate raises OutcomeUnknown.
    """
    try:
        yield
    except (BackendTimeout, BackendReplyInvalid) as error:
        what = "The backend could not be read before the change; nothing was changed."
        raise BackendUnavailable(what, evidence=error.evidence) from error
