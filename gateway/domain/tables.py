"""The tables that turn a backend's account of a failure into one of our errors."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.errors import Evidence, FieldError, GatewayError, OutcomeUnknown
from gateway.domain.faults import Fault

_log: Final = logging.getLogger("gateway.backends")


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
        "upstream_message": fault.message[:500],
        "upstream_request_id": fault.request_id,
    }
