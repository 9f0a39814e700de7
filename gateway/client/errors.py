"""The exceptions of the client. Each carries the problem document; its class follows from the code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from gateway.client.models import Outcome, Problem


class ApiError(Exception):
    """A request that did not succeed; also the class of every code that has no class of its own."""

    def __init__(
        self, problem: Problem, *, retry_after: float | None = None, idempotency_key: str | None = None
    ) -> None:
        super().__init__(f"{problem['code']}: {problem['detail']}")
        self.problem = problem
        self.retry_after = retry_after  # seconds, if the answer named a time
        self.idempotency_key = idempotency_key  # of a create or batch: repeating with it is safe

    @property
    def code(self) -> str:
        """The error code, see `GET /errors`; the client's own codes are in CLIENT_CODES."""
        return self.problem["code"]

    @property
    def outcome(self) -> Outcome:
        """Whether the request was applied."""
        return self.problem["outcome"]

    @property
    def status(self) -> int:
        """The HTTP status; 0 if there was no answer."""
        return self.problem["status"]


class Invalid(ApiError):
    """The request is wrong; `problem["errors"]` lists every error in it."""


class NotAllowed(ApiError):
    """The caller, or the connection's user in the backend, lacks a credential or a permission."""


class NotFound(ApiError):
    """The module, operation, or path does not exist."""


class ModuleAlreadyExists(ApiError):
    """A module of this name exists: `problem["existing"]` is its id."""


class ModuleExistsDifferently(ModuleAlreadyExists):
    """With `if_exists="adopt"`: a module of this name exists and differs, see `problem["diff"]`."""


class PreconditionFailed(ApiError):
    """The module was changed since the etag in `if_match`: `problem["etag"]` is the current one."""


class UpdateNotKept(ApiError):
    """The backend accepted the write and stored other values, see `problem["diff"]`."""


class Unavailable(ApiError):
    """The request was not applied, and can be repeated later."""


class OutcomeUnknown(ApiError):
    """The write may have been applied.

    A create or batch can be repeated with `idempotency_key`. Before an update or delete is repeated, the module should
    be read.
    """


class OutcomeAmbiguous(OutcomeUnknown):
    """Several modules can be the result of the create: a person must decide."""


#: The codes of errors for which no answer of the gateway is the source, with their titles.
CLIENT_CODES: Final[Mapping[str, str]] = {
    "connection_failed": "The connection could not be made",
    "connection_lost": "The connection was lost before the answer arrived",
    "not_settled": "The operation is not settled yet",
    "unexpected_answer": "The answer does not come from the gateway",
}
#: The class of each code; the others are ApiError.
_CLASSES: Final[Mapping[str, type[ApiError]]] = {
    code: error_class
    for error_class, codes in {
        Invalid: (
            *("backend_unknown", "description_required", "idempotency_key_invalid", "idempotency_key_reused"),
            *("immutable_field", "invalid_json", "owner_not_found", "parent_not_found", "payload_too_large"),
            *("scope_not_found", "unsupported_field", "validation_failed"),
        ),
        NotAllowed: ("backend_permission_denied", "forbidden", "unauthenticated"),
        NotFound: ("module_not_found", "not_found", "operation_not_found"),
        ModuleAlreadyExists: ("module_already_exists",),
        ModuleExistsDifferently: ("module_exists_differently",),
        PreconditionFailed: ("precondition_failed",),
        UpdateNotKept: ("update_not_kept",),
        Unavailable: (
            *("backend_read_only", "backend_timeout", "backend_unavailable", "circuit_open", "connection_failed"),
            *("create_in_progress", "draining", "journal_unavailable", "module_busy", "overloaded", "rate_limited"),
        ),
        OutcomeUnknown: ("outcome_unknown",),
        OutcomeAmbiguous: ("outcome_ambiguous",),
    }.items()
    for code in codes
}


def create_error(problem: Problem, *, retry_after: float | None = None, idempotency_key: str | None = None) -> ApiError:
    """Return the exception of a problem; an unknown outcome is always an OutcomeUnknown."""
    error_class = _CLASSES.get(problem["code"], ApiError)
    if problem["outcome"] == "unknown" and not issubclass(error_class, OutcomeUnknown):
        error_class = OutcomeUnknown
    return error_class(problem, retry_after=retry_after, idempotency_key=idempotency_key)


def client_problem(code: str, detail: str, outcome: str, *, status: int = 0, request_id: str = "") -> Problem:
    """Return the problem of an error that the client found itself."""
    return {
        "type": "about:blank",
        "title": CLIENT_CODES[code],
        "status": status,
        "detail": detail,
        "code": code,
        "outcome": cast("Outcome", outcome),
        "retryable": code != "unexpected_answer",
        "request_id": request_id,
    }
