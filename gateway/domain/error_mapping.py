"""Tables that map a backend's error response to a GatewayError."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.errors import ErrorContext, FieldError, GatewayError, OutcomeUnknown
from gateway.domain.telemetry import UpstreamMetrics

_log: Final = logging.getLogger("gateway.backends")
_MAX_LOGGED_MESSAGE: Final = 500  # characters
#: What may be the beginning of a secret in any encoding, at the end of a text that was cut.
_CUT_TOKEN: Final = re.compile(r"[^\s\"'<>,;&{}()\[\]]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamFailure:
    """A backend's error response. Its `message` is written to the log only."""

    backend: str
    operation: str  # create, list, get, update or delete
    is_write: bool  # whether the call may have changed something
    status: int
    code: str | None = None  # the backend's own, or of a gateway that belongs to it
    word: str | None = None  # a language-independent word of the message, if the backend's facts name one
    message: str = ""
    request_id: str | None = None
    retry_after: float | None = None  # seconds
    permission: Mapping[str, Any] | None = None

    def lookup_keys(self) -> Iterator[str]:
        """Yield the table keys that match, most specific first: by code, then by status, then the fallback."""
        if self.code is not None:
            if self.word is not None:
                yield f"{self.code}:{self.word}"
            yield f"{self.operation}:{self.code}"
            yield f"{self.code}@{self.status}"
            yield self.code
        yield f"{self.operation}:@{self.status}"
        yield f"@{self.status}"
        yield f"@{self.status // 100}xx"
        yield "@"


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """One row of a table: the error, the field it refers to, and whether a write may have been applied anyway."""

    error: type[GatewayError]
    pointer: str | None = None
    unknown_on_write: bool = False


def unknown_on_write(error: type[GatewayError]) -> ErrorRule:
    """Return a rule for a refusal after which a write may still be applied: OutcomeUnknown, or `error` for a read."""
    return ErrorRule(error, unknown_on_write=True)


def field_error(pointer: str, error: type[GatewayError]) -> ErrorRule:
    """Return a rule for an error in one field of the caller's request."""
    return ErrorRule(error, pointer=pointer)


class ErrorTable:
    """Rules by the keys of `UpstreamFailure.lookup_keys`; the fallback "@" is required.

    The rows by status hold for reads, and for writes that were answered with a code that the table does not contain.
    """

    def __init__(self, rows: Mapping[str, type[GatewayError] | ErrorRule]) -> None:
        self.rows: Final = {key: row if isinstance(row, ErrorRule) else ErrorRule(row) for key, row in rows.items()}

    def to_error(
        self,
        failure: UpstreamFailure,
        metrics: UpstreamMetrics | None = None,
        exchange: Mapping[str, object] | None = None,
    ) -> GatewayError:
        """Return the error that a failure means; log the failure, and count a code that the table does not contain.

        `exchange` are the fields that name the exchange in the log: UpstreamResponse.log_fields.
        """
        log_fields = {**(exchange or {}), **_log_fields(failure)}
        key = next(key for key in failure.lookup_keys() if key in self.rows)
        is_key_without_code = key.rpartition(":")[2].startswith("@")  # "@…" or "<operation>:@…"
        if failure.code is not None and is_key_without_code:
            _log.warning("unmapped backend code", extra={"fields": log_fields})
            if metrics is not None:
                metrics.record_unmapped_code(failure.backend, failure.code)
        else:
            _log.info("backend returned an error", extra={"fields": log_fields})
        return _build_error(self.rows[key], failure)


def _build_error(rule: ErrorRule, failure: UpstreamFailure) -> GatewayError:
    # Without a code of the backend's own the response may come from a proxy, after the write was applied.
    is_unknown = failure.is_write and (rule.unknown_on_write or failure.code is None)
    error = OutcomeUnknown if is_unknown else rule.error
    context = ErrorContext(failure, failure.permission, failure.retry_after)
    pointer = rule.pointer or error.pointer
    errors = (FieldError(pointer, error.code),) if pointer else ()
    return error(errors=errors, context=context)


def clip(text: str) -> str:
    """Return at most 500 characters, without a token that was cut: the rest of a secret might not be redacted."""
    return text if len(text) <= _MAX_LOGGED_MESSAGE else _CUT_TOKEN.sub("", text[:_MAX_LOGGED_MESSAGE])


def _log_fields(failure: UpstreamFailure) -> dict[str, Any]:
    return {
        "backend": failure.backend,
        "call": failure.operation,
        "status": failure.status,
        "code": failure.code,
        "upstream_message": clip(failure.message),
        "upstream_request_id": failure.request_id,
    }
