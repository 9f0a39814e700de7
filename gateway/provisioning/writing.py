"""The reads that a write makes on its way: their failures prove that nothing was applied, and must say so."""

from __future__ import annotations

from types import TracebackType

from gateway.domain.errors import BackendReplyInvalid, BackendTimeout, BackendUnavailable


class pre_write_read:  # noqa: N801 - read as what it says: with before_the_write()
    """Tell the failure of a read inside a write as *unavailable*: 504 is kept for what may have been applied.

    An adapter raises these two for reads alone; a write of unknown fate raises OutcomeUnknown.
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Turn the two kinds into the third."""
        if isinstance(error, BackendTimeout | BackendReplyInvalid):
            what = "The backend could not be read before the change; nothing was changed."
            raise BackendUnavailable(what, context=error.context) from error
