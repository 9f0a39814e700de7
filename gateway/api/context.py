"""The present request, and what is noted about it; nothing but the api's own parts asks for it.

Flask's `request` and `g` look up what they stand for at every touch, at a microsecond; a request touches them thirty
times. These look it up once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from flask import Request, g, request

from gateway.domain.backend import CallContext
from gateway.domain.callers import Caller
from gateway.domain.errors import Outcome
from gateway.telemetry.request_log import RequestSpan


class RequestContext:
    """What is noted about one request, for its answer and for its line in the log; Flask makes it, and calls it `g`."""

    started: float  # on Clock.monotonic()
    call: CallContext
    caller: Caller
    visit: RequestSpan
    backend: str | None = None
    operation: str | None = None  # its id
    outcome: Outcome | None = None  # of a request that wanted to change something
    replayed: bool = False
    problem_code: str | None = None
    language: str | None = None  # of an answer that exists in several


current_request: Final[Callable[[], Request]] = request._get_current_object  # type: ignore[attr-defined] # noqa: SLF001 - LocalProxy has no other
notes: Final = cast("Callable[[], RequestContext]", g._get_current_object)  # noqa: SLF001 - the same
