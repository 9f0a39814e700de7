"""The errors of the gateway: one class for each decision that a caller or operator has to make.

GatewayError
├── CallerError                    the request is invalid; nothing was sent
│   ├── MalformedRequest, RequestTimeout
│   ├── InvalidJson, UnsupportedMediaType, PayloadTooLarge, NotAcceptable
│   ├── Unauthenticated, Forbidden
│   ├── NotFound, MethodNotAllowed, ModuleNotFound, OperationNotFound, NotSupported
│   ├── IdempotencyKeyInvalid, IdempotencyKeyReused
│   └── ValidationFailed, UnsupportedField, ImmutableField, DescriptionRequired, BackendUnknown,
│       ScopeNotFound, ParentNotFound, OwnerNotFound
├── Conflict                       the request is valid, the current state forbids it
│   ├── ModuleAlreadyExists, ModuleExistsDifferently, UniqueFieldConflict, CreateInProgress, ModuleBusy
│   ├── UpdateNotKept, PreconditionFailed, OperationNotResolvable, ChangesExpired
│   └── ModuleNotEmpty, TemplateManaged, BuiltInProtected, LimitExceeded
├── BackendRefusal                 a backend refused the request
│   └── BackendPermissionDenied, BackendRejectedCredentials, BackendMisconfigured, BackendError, RateLimited
├── Unavailable                    no answer was possible; nothing was applied
│   ├── BackendUnavailable, BackendTimeout, BackendReplyInvalid, CircuitOpen, Overloaded
│   └── BackendReadOnly, JournalUnavailable, Draining
└── UnknownOutcome                 the change may have been applied
    └── OutcomeUnknown, OutcomeAmbiguous, Internal
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from gateway.domain.messages import ENGLISH, Message

if TYPE_CHECKING:
    from gateway.domain.error_mapping import UpstreamFailure


class Outcome(StrEnum):
    """Whether the change of a write request was applied."""

    APPLIED = "applied"
    NOT_APPLIED = "not_applied"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in one field of a request, located by a JSON pointer (RFC 6901)."""

    pointer: str
    code: str  # machine-readable: one of FIELD_ERROR_CODES, or the code of an error
    message: Message | None = None  # None stands for the title of the error that `code` names
    allowed: Message | None = None  # the values that the field accepts
    in_query: bool = False  # the pointer is that of a parameter of the query

    @property
    def detail(self) -> str:
        """The message in English."""
        if self.message is None:
            return REGISTRY[self.code].title
        return self.message.text(ENGLISH, **({} if self.allowed is None else {"allowed": str(self.allowed)}))


#: The codes of field errors that are not codes of errors; `/errors` publishes them with the message `field_code_…`.
FIELD_ERROR_CODES: Final = (
    "choice", "duplicate", "not_kept", "null", "pattern", "range", "repeated", "required", "too_long", "too_many",
    "type", "unknown_field",
)  # fmt: skip


class ErrorContext(NamedTuple):
    """What a backend's response adds to an error; every part is optional."""

    failure: UpstreamFailure | None = None
    permission: Mapping[str, Any] | None = None  # CMDB's: what a user needs to request the permission
    retry_after: float | None = None  # seconds


NO_CONTEXT: Final = ErrorContext()


class GatewayError(Exception):
    """The base of all errors; a subclass with a `code` is registered under it and published at /errors."""

    code: ClassVar[str]
    title: ClassVar[str]
    outcome: Outcome = Outcome.NOT_APPLIED
    outcomes: ClassVar[Sequence[Outcome]] = ()  # what `outcome` can be, if that depends on the error
    retryable: ClassVar[bool] = False
    etag: str | None = None  # the current one of a module that an update did not find as it expected
    pointer: ClassVar[str | None] = None  # the field that the error always refers to, if there is one

    def __init__(
        self,
        message: Message | None = None,
        *,
        errors: Sequence[FieldError] = (),
        context: ErrorContext = NO_CONTEXT,
        existing: str | None = None,
        diff: Mapping[str, Any] | None = None,
        operation: str | None = None,
        outcome: Outcome | None = None,
        reason: Mapping[str, object] | None = None,
    ) -> None:
        """Without a message the title is the detail.

        `existing` is the id of the conflicting module, `diff` how it differs, `operation` the id to follow;
        `outcome` replaces that of the class; `reason` is for the log only.
        """
        self.message = message
        self.detail = str(message) if message else self.title  # in English
        super().__init__(self.detail)
        self.errors = tuple(errors)
        self.context = context
        self.existing = existing
        self.diff = diff
        self.operation = operation
        self.reason = reason
        if outcome is not None:
            self.outcome = outcome

    def __init_subclass__(cls) -> None:
        """Register the class under its code."""
        super().__init_subclass__()
        code = cls.__dict__.get("code")
        if code is None:
            return
        if code in REGISTRY:
            raise TypeError(f"two errors say {code}")
        REGISTRY[code] = cls

    @classmethod
    def description(cls) -> str:
        """Return what happened and what to do, for /errors: the class's docstring."""
        return inspect.getdoc(cls) or ""


REGISTRY: Final[dict[str, type[GatewayError]]] = {}


class CallerError(GatewayError):
    """The request is invalid; nothing was sent to a backend."""


class MalformedRequest(CallerError):
    """The request is not well-formed HTTP, or its request line or headers are too long. No part of it was used."""

    code = "malformed_request"
    title = "Malformed HTTP request"


class RequestTimeout(CallerError):
    """The request did not arrive completely within the deadline. Nothing was sent to a backend. Repeat it."""

    code = "request_timeout"
    title = "The request did not arrive in time"
    retryable = True


class InvalidJson(CallerError):
    """The body is not one JSON object: incomplete, syntax, duplicate keys, NaN, lone surrogates or too deep nesting."""

    code = "invalid_json"
    title = "The body is not valid JSON"


class UnsupportedMediaType(CallerError):
    """The body is not declared as JSON. Send Content-Type: application/json."""

    code = "unsupported_media_type"
    title = "The body must be JSON"


class PayloadTooLarge(CallerError):
    """The body is longer than 64 KiB, or the backend refused the request as too large."""

    code = "payload_too_large"
    title = "The body is too large"


class NotAcceptable(CallerError):
    """The Accept header excludes JSON, the only format of this resource."""

    code = "not_acceptable"
    title = "Only JSON is available"


class Unauthenticated(CallerError):
    """The request carries no valid credential. Send an API key or a valid token, or connect through the mesh."""

    code = "unauthenticated"
    title = "Authentication failed"


class Forbidden(CallerError):
    """The caller's allow-list does not contain this; no backend was called. The operator can extend the list."""

    code = "forbidden"
    title = "The caller is not allowed to do this"


class NotFound(CallerError):
    """This path does not exist. /openapi.json lists all paths."""

    code = "not_found"
    title = "No such path"


class MethodNotAllowed(CallerError):
    """The path exists, the method does not; the Allow header lists the methods of this path."""

    code = "method_not_allowed"
    title = "Method not allowed"


class ModuleNotFound(CallerError):
    """No module has this id: it was never created, it was deleted, or the id is malformed."""

    code = "module_not_found"
    title = "Module not found"


class ValidationFailed(CallerError):
    """One or more fields break a rule; `errors` lists all of them. Correct them and send the request again."""

    code = "validation_failed"
    title = "The request is invalid"


class UnsupportedField(CallerError):
    """The backend cannot store this field, and the gateway drops nothing silently. Leave it out."""

    code = "unsupported_field"
    title = "The backend does not support this field"


class ImmutableField(CallerError):
    """The field cannot be changed after the create: modules cannot be moved, template fields cannot be set."""

    code = "immutable_field"
    title = "The field cannot be changed"


class DescriptionRequired(CallerError):
    """The backend replaces the description on every update and the old one cannot be read. Send it."""

    code = "description_required"
    title = "The description is required"
    pointer = "/description"


class BackendUnknown(CallerError):
    """There is no connection of this name; /backends lists all connections."""

    code = "backend_unknown"
    title = "Unknown backend"
    pointer = "/backend"


class ScopeNotFound(CallerError):
    """The business or project does not exist, or the gateway cannot see it."""

    code = "scope_not_found"
    title = "Scope not found"
    pointer = "/scope"


class ParentNotFound(CallerError):
    """The set or parent module does not exist in this scope."""

    code = "parent_not_found"
    title = "Parent not found"
    pointer = "/parent"


class OwnerNotFound(CallerError):
    """The owner does not exist, or is not a member of the project."""

    code = "owner_not_found"
    title = "Owner not found"
    pointer = "/owners/0"


class IdempotencyKeyInvalid(CallerError):
    """The Idempotency-Key is not 1 to 255 visible ASCII characters, bare or quoted."""

    code = "idempotency_key_invalid"
    title = "The Idempotency-Key is malformed"


class IdempotencyKeyReused(CallerError):
    """The Idempotency-Key belongs to an earlier, different request. Nothing was sent; use a new key."""

    code = "idempotency_key_reused"
    title = "The Idempotency-Key belongs to another request"


class OperationNotFound(CallerError):
    """No operation has this id, or it has expired, or the caller may not read it."""

    code = "operation_not_found"
    title = "Operation not found"


class NotSupported(CallerError):
    """The backend does not offer this. `lookups` at /backends/{name} lists what can be looked up."""

    code = "not_supported"
    title = "The backend does not offer this"


class Conflict(GatewayError):
    """The request is valid, but the current state forbids it, or the backend did not keep it."""


class ModuleAlreadyExists(Conflict):
    """A module of this name already exists; `existing` is its id. Use that module, or choose another name."""

    code = "module_already_exists"
    title = "A module of this name already exists"


class ModuleExistsDifferently(Conflict):
    """With if_exists=adopt: a module of this name exists with other values; `diff` lists the differences."""

    code = "module_exists_differently"
    title = "A module of this name exists with other values"


class UpdateNotKept(Conflict):
    """The backend accepted the write, but the module (`existing`) has other values than were sent; `diff` lists them.

    The outcome is applied if the module was created, or other fields of the update were kept. Change the module again.
    """

    code = "update_not_kept"
    title = "The backend did not keep the values that were sent"
    outcomes = (Outcome.APPLIED, Outcome.NOT_APPLIED)


class UniqueFieldConflict(Conflict):
    """Another module has a value that the backend keeps unique; `errors`, where known, names the fields. Change it."""

    code = "unique_field_conflict"
    title = "Another module has a value that must be unique"


class ModuleBusy(Conflict):
    """Another change of the module was under way and this one was not applied. Retry after Retry-After."""

    code = "module_busy"
    title = "The module is being changed"
    retryable = True


class ModuleNotEmpty(Conflict):
    """The module has children, hosts or associations. Remove them, or use cascade=true for children."""

    code = "module_not_empty"
    title = "The module is not empty"


class TemplateManaged(Conflict):
    """The parent was created from a template; only the template adds and removes its modules."""

    code = "template_managed"
    title = "A template manages this parent"


class BuiltInProtected(Conflict):
    """The backend's built-in modules cannot be changed or deleted."""

    code = "built_in_protected"
    title = "Built-in modules are protected"


class LimitExceeded(Conflict):
    """The backend's limit of modules, levels or quota is reached, or the account is suspended."""

    code = "limit_exceeded"
    title = "A limit of the backend is reached"


class CreateInProgress(Conflict):
    """Another request is creating a module of this name. This request changed nothing; repeat it later."""

    code = "create_in_progress"
    title = "A module of this name is being created"
    retryable = True


class PreconditionFailed(Conflict):
    """The module has none of the etags in If-Match: it was changed. Read it, and repeat the change with its etag."""

    code = "precondition_failed"
    title = "The module was changed in the meantime"

    def __init__(self, message: Message | None = None, *, etag: str | None = None, **values: Any) -> None:
        """`etag` is the module's current one."""
        super().__init__(message, **values)
        self.etag = etag


class OperationNotResolvable(Conflict):
    """Only an ambiguous operation, or one past its settle window, can be resolved, and only once."""

    code = "operation_not_resolvable"
    title = "The operation cannot be resolved"


class ChangesExpired(Conflict):
    """Entries after this `seq` were deleted. Read the modules anew, then go on from the oldest entry: omit `after`."""

    code = "changes_expired"
    title = "The change log no longer goes back that far"


class BackendRefusal(GatewayError):
    """A backend refused the request; nothing was applied."""


class BackendPermissionDenied(BackendRefusal):
    """The backend denies the acting user this operation; `permission`, if present, lists the rights to apply for."""

    code = "backend_permission_denied"
    title = "The backend denies permission"


class BackendRejectedCredentials(BackendRefusal):
    """The backend rejects the connection's credentials. The operator must correct them."""

    code = "backend_rejected_credentials"
    title = "The backend rejects the gateway's credentials"


class BackendMisconfigured(BackendRefusal):
    """The connection's address, route or model does not fit the backend. The operator must correct it."""

    code = "backend_misconfigured"
    title = "The connection is misconfigured"


class BackendError(BackendRefusal):
    """The backend refused for a reason that has no more specific code; `upstream` contains the backend's code."""

    code = "backend_error"
    title = "The backend refused the request"


class RateLimited(BackendRefusal):
    """The rate limit of the gateway or of the backend is reached. Retry after Retry-After."""

    code = "rate_limited"
    title = "Too many requests"
    retryable = True


class Unavailable(GatewayError):
    """No answer was possible; nothing was applied."""


class BackendUnavailable(Unavailable):
    """The backend could not be reached, or refused before it could apply anything. Retry."""

    code = "backend_unavailable"
    title = "The backend is unavailable"
    retryable = True


class BackendTimeout(Unavailable):
    """A read took longer than the deadline. Retry."""

    code = "backend_timeout"
    title = "The backend did not respond in time"
    retryable = True


class BackendReplyInvalid(Unavailable):
    """The response to a read does not have the backend's format."""

    code = "backend_reply_invalid"
    title = "Invalid backend response"


class CircuitOpen(Unavailable):
    """The backend keeps failing, and the gateway does not call it for a while. Retry after Retry-After."""

    code = "circuit_open"
    title = "Circuit breaker open"
    retryable = True


class Overloaded(Unavailable):
    """The queue of calls to this backend, or this server's number of connections, is full. Retry after Retry-After."""

    code = "overloaded"
    title = "Too many calls or connections"
    retryable = True


class BackendReadOnly(Unavailable):
    """The operator has set the connection to read only, and the write was not sent. Retry after Retry-After."""

    code = "backend_read_only"
    title = "The connection is read-only"
    retryable = True


class JournalUnavailable(Unavailable):
    """The journal cannot be written, and without it nothing is sent. Retry."""

    code = "journal_unavailable"
    title = "The journal is unavailable"
    retryable = True


class Draining(Unavailable):
    """This process is shutting down and accepts no new requests. Retry: another process answers."""

    code = "draining"
    title = "Shutting down"
    retryable = True


class UnknownOutcome(GatewayError):
    """The change may have been applied."""

    outcome = Outcome.UNKNOWN


class OutcomeUnknown(UnknownOutcome):
    """The change was sent and may have been applied. Repeat the same request, or read the module."""

    code = "outcome_unknown"
    title = "The outcome is unknown"
    retryable = True


class OutcomeAmbiguous(UnknownOutcome):
    """Several modules have this name, or one of uncertain origin. A person must decide whether the create made it."""

    code = "outcome_ambiguous"
    title = "It is uncertain which module this create made"


class Internal(UnknownOutcome):
    """A bug in the gateway. Report it with the request_id."""

    code = "internal"
    title = "Internal error"
