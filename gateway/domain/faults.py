"""A backend's own account of a failure, and the tables that turn it into one of our errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.errors import Evidence, FieldError, GatewayError, OutcomeUnknown

_log: Final = logging.getLogger("gateway.backends")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a backend said when it said no. Its `message` goes to the log and nowhere else."""

    backend: str
    operation: str  # create, list, get, update, delete: what the adapter was doing
    writes: bool  # may this call have changed something?
    status: int
    code: str | None = None
    token: str | None = None  # a language-independent word out of the message, where the facts name one
    message: str = ""
    request_id: str | None = None
    retry_after: float | None = None  # seconds
    permission: Mapping[str, Any] | None = None

    def keys(self) -> Iterator[str]:
        """Yield the table keys that fit, the most telling first: by code, then by status, then the rest."""
        if self.code is not None:
            if self.token is not None:
                yield f"{self.code}:{self.token}"
            yield f"{self.operation}:{self.code}"
            yield f"{self.code}@{self.status}"
            yield self.code
        yield f"{self.operation}:@{self.status}"
        yield f"@{self.status}"
        yield f"@{self.status // 100}xx"
        yield "@"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: the error, where it points, and whether a write may have been applied all the same."""

    error: type[GatewayError]
    pointer: str | None = None
    unsure: bool = False


def unsure(error: type[GatewayError]) -> Row:
    """Mark a refusal that proves nothing: a read raises `error`, a write is OutcomeUnknown."""
    return Row(error, unsure=True)


def at(pointer: str, error: type[GatewayError]) -> Row:
    """Locate the mistake in the caller's request."""
    return Row(error, pointer=pointer)


class ErrorTable:
    """Rows under keys as Fault.keys() makes them; the key "@" is the last resort and must be there."""

    def __init__(self, rows: Mapping[str, type[GatewayError] | Row]) -> None:
        self.rows: Final = {key: row if isinstance(row, Row) else Row(row) for key, row in rows.items()}

    def error(self, fault: Fault) -> GatewayError:
        """Return, without raising it, the error that this fault means; log codes that no row knows."""
        key = next(key for key in fault.keys() if key in self.rows)  # noqa: SIM118 - keys() is ours, most telling first
        if fault.code is not None and key.rpartition(":")[2].startswith("@"):
            _log.warning("unmapped backend code", extra={"fields": _fields(fault)})
        else:
            _log.info("backend refused", extra={"fields": _fields(fault)})
        return _build(self.rows[key], fault)


def _build(row: Row, fault: Fault) -> GatewayError:
    error = OutcomeUnknown if row.unsure and fault.writes else row.error
    evidence = Evidence(fault, fault.permission, fault.retry_after)
    pointer = row.pointer or error.pointer
    errors = (FieldError(pointer, error.code, error.title),) if pointer else ()
    return error(errors=errors, evidence=evidence)


def _fields(fault: Fault) -> dict[str, Any]:
    return {
        "backend": fault.backend,
        "operation": fault.operation,
        "status": fault.status,
        "code": fault.code,
        "message": fault.message[:500],
        "upstream_request_id": fault.request_id,
    }
