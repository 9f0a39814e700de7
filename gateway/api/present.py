"""The present request, and what is noted about it; nothing but the api's own parts asks for it.

Flask's `request` and `g` look up what they stand for at every touch, at a microsecond; a request touches them thirty
times. These look it up once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Request, g, request

from gateway.domain.callers import Caller
from gateway.domain.ports import Call

current_request: Final[Callable[[], Request]] = request._get_current_object  # type: ignore[attr-defined] # noqa: SLF001 - LocalProxy has no other
#: Attributes as anybody sets them: `call`, `caller`, `visit`, `backend`, `operation`, `replayed`, `problem_code`,
#: `language`.
notes: Final[Callable[[], Any]] = g._get_current_object  # noqa: SLF001 - the same


def current_call() -> Call:
    """Return the call that the present request is."""
    call: Call = notes().call
    return call


def current_caller() -> Caller:
    """Return who asks."""
    caller: Caller = notes().caller
    return caller
