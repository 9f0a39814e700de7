"""When a request is repeated: the one table of the client's retry rules, and how long it waits before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Final

from gateway.client.models import Problem


class Kind(Enum):
    """What a repetition can do."""

    READ = auto()  # nothing
    CREATE = auto()  # nothing: it carries an Idempotency-Key, as a batch does
    CHANGE = auto()  # overwrite a change that another caller made in between: an update, delete or verdict
    GUARDED_CHANGE = auto()  # nothing: an update or delete whose If-Match no longer holds once it is applied


class Event(Enum):
    """What became of one attempt that did not succeed."""

    NOT_SENT = auto()  # no connection: refused, timed out while connecting, or the name is unknown
    LOST = auto()  # the connection ended or timed out after the request was sent, or the answer is incomplete
    PROXY = auto()  # 408, 460, 499 or 5xx without the gateway's mark (Gateway-Outcome; of a read: a problem document)
    NOT_APPLIED = auto()  # 429, 503 or 409 that is retryable: this attempt certainly changed nothing
    UNKNOWN = auto()  # 504 outcome_unknown
    FINAL = auto()  # every other answer


class Action(Enum):
    """What the client does next, as long as its timeout allows."""

    RAISE = auto()
    REPEAT = auto()
    FOLLOW = auto()  # wait until the operation named by `instance` is settled, then repeat


_RAISE, _REPEAT, _FOLLOW = Action
#: The rules. Columns: READ, CREATE, CHANGE, GUARDED_CHANGE.
_TABLE: Final[Mapping[Event, tuple[Action, Action, Action, Action]]] = {
    Event.NOT_SENT: (_REPEAT, _REPEAT, _REPEAT, _REPEAT),
    Event.LOST: (_REPEAT, _REPEAT, _RAISE, _REPEAT),
    Event.PROXY: (_REPEAT, _REPEAT, _RAISE, _REPEAT),
    Event.NOT_APPLIED: (_REPEAT, _REPEAT, _REPEAT, _REPEAT),
    Event.UNKNOWN: (_REPEAT, _FOLLOW, _RAISE, _REPEAT),
    Event.FINAL: (_RAISE, _RAISE, _RAISE, _RAISE),
}
#: Events after which the attempt may have been applied.
UNSETTLED: Final = frozenset({Event.LOST, Event.PROXY, Event.UNKNOWN})
#: Answers of a proxy that gave up on the gateway, besides 5xx.
_PROXY_STATUSES: Final = frozenset({408, 460, 499})
_FIRST_BACKOFF: Final = 0.25  # seconds
_MAX_BACKOFF: Final = 8.0  # seconds


def action(event: Event, kind: Kind) -> Action:
    """Return what to do after an attempt."""
    return _TABLE[event][kind.value - 1]


def classify(status: int, problem: Problem | None) -> Event:
    """Return the event of an answer that is no success; `problem` is None if it is not the gateway's."""
    if status == 429:  # noqa: PLR2004 - Too Many Requests, of the gateway or of a proxy in front of it
        return Event.NOT_APPLIED
    if problem is None:
        return Event.PROXY if status in _PROXY_STATUSES or status >= 500 else Event.FINAL  # noqa: PLR2004
    if problem["code"] == "outcome_unknown":
        return Event.UNKNOWN
    return Event.NOT_APPLIED if problem["retryable"] and problem["outcome"] == "not_applied" else Event.FINAL


def settles_create(problem: Problem | None) -> bool:
    """Return whether the answer to a repeated create proves that no earlier attempt was applied.

    The gateway looks up the key before it decides these; credentials, limits and availability it checks before.
    """
    if problem is None:
        return False
    return problem["status"] in {409, 422, 502} or problem["code"] == "backend_permission_denied"


def parse_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds of Retry-After, which is a number or a date; None without a valid one.

    A date is compared with the answer's own Date, so that the clocks may differ; `now` stands in for a missing one.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    moment = _parse_date(value)
    if moment is None:
        return None
    base = _parse_date(headers.get("Date", "")) or now or datetime.now(UTC)
    return max((moment - base).total_seconds(), 0.0)


def _parse_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def backoff(attempt: int, retry_after: float | None, fraction: float) -> float:
    """Return how long to wait after the given attempt (from 1), in seconds; `fraction` is random, from 0 to 1.

    Exponential with full jitter; after a Retry-After, the jitter is added, so that it is never undercut.
    """
    limit = min(_FIRST_BACKOFF * 2 ** min(attempt - 1, 10), _MAX_BACKOFF)
    return limit * fraction if retry_after is None else retry_after + _FIRST_BACKOFF * fraction
