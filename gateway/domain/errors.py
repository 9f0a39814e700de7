"""The errors of the gateway: one class for each decision that a caller or operator has to make.

GatewayError
├── CallerError                    the request is invalid; nothing was sent
│   ├── InvalidJson, UnsupportedMediaType, PayloadTooLarge, NotAcceptable
│   ├── Unauthenticated, Forbidden
│   ├── NotFound, MethodNotAllowed, ModuleNotFound, OperationNotFound
│   ├── IdempotencyKeyInvalid, IdempotencyKeyReused
│   └── ValidationFailed, UnsupportedField, ImmutableField, DescriptionRequired, BackendUnknown,
│       ScopeNotFound, ParentNotFound, OwnerNotFound
├── Conflict                       the request is valid, the current state forbids it
│   ├── ModuleAlreadyExists, ModuleExistsDifferently, CreateInProgress
│   └── ModuleNotEmpty, TemplateManaged, BuiltInProtected, LimitExceeded
├── BackendRefusal                 a backend refused the request
│   └── BackendPermissionDenied, BackendRejectedCredentials, BackendMisconfigured, BackendError, RateLimited
├── Unavailable                    no answer was possible; nothing was applied
│   ├── BackendUnavailable, BackendTimeout, BackendReplyInvalid, CircuitOpen, Overloaded
│   └── JournalUnavailable, Draining
└── UnknownOutcome                 the change may have been applied
    └── OutcomeUnknown, OutcomeAmbiguous, Internal
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

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
    code: str  # machine-readable: required, type, pattern, too_long …
    detail: str
    allowed: str | None = None


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
    outcome: ClassVar[Outcome] = Outcome.NOT_APPLIED
    retryable: ClassVar[bool] = False
    pointer: ClassVar[str | None] = None  # the field that the error always refers to, if there is one

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        context: ErrorContext = NO_CONTEXT,
        existing: str | None = None,
        diff: Mapping[str, Any] | None = None,
        operation: str | None = None,
    ) -> None:
        """`existing` is the id of the conflicting module, `diff` how it differs, `operation` the id to follow."""
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = tuple(errors)
        self.context = context
        self.existing = existing
        self.diff = diff
        self.operation = operation

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


class InvalidJson(CallerError):
    """The body is not one JSON object: syntax, duplicate keys, NaN, lone surrogates or nesting too deep."""

    code = "invalid_json"
    title = "The body is not valid JSON"


class UnsupportedMediaType(CallerError):
    """The body is not declared as JSON. Send Content-Type: application/json."""

    code = "unsupported_media_type"
    title = "The body must be JSON"


class PayloadTooLarge(CallerError):
    """The body is longer than 64 KiB, or a backend found a request too large."""

    code = "payload_too_large"
    title = "The body is too large"


class NotAcceptable(CallerError):
    """The Accept header excludes JSON, the only format there is."""

    code = "not_acceptable"
    title = "Only JSON can be answered"


class Unauthenticated(CallerError):
    """The request proves no identity that the gateway knows. Send an API key, a valid token, or come by the mesh."""

    code = "unauthenticated"
    title = "The caller is not known"


class Forbidden(CallerError):
    """The caller's allow-list does not cover this; no backend was asked. The operator of the gateway can extend it."""

    code = "forbidden"
    title = "The caller may not do this"


class NotFound(CallerError):
    """No such address. /openapi.json lists those that exist."""

    code = "not_found"
    title = "No such address"


class MethodNotAllowed(CallerError):
    """The address exists, the method does not; the Allow header names those that do."""

    code = "method_not_allowed"
    title = "The method is not allowed here"


class ModuleNotFound(CallerError):
    """No module has this id: never created, deleted, or the id is malformed."""

    code = "module_not_found"
    title = "No such module"


class ValidationFailed(CallerError):
    """One or more fields break a rule; `errors` names all of them. Correct them and send again."""

    code = "validation_failed"
    title = "The request breaks a rule"


class UnsupportedField(CallerError):
    """The backend cannot keep this field, and the gateway drops nothing in silence. Leave it out."""

    code = "unsupported_field"
    title = "The backend cannot keep this field"


class ImmutableField(CallerError):
    """The field is fixed once a module exists: a module cannot be moved, nor a template's fields changed."""

    code = "immutable_field"
    title = "The field cannot be changed"


class DescriptionRequired(CallerError):
    """The backend replaces the description on every update and cannot be asked for the old one: send it along."""

    code = "description_required"
    title = "The description must be sent along"
    pointer = "/description"


class BackendUnknown(CallerError):
    """No connection has this name; /backends lists those that exist."""

    code = "backend_unknown"
    title = "No such backend"
    pointer = "/backend"


class ScopeNotFound(CallerError):
    """The business or project does not exist, or is not visible to the gateway."""

    code = "scope_not_found"
    title = "No such scope"
    pointer = "/scope"


class ParentNotFound(CallerError):
    """The set or parent module does not exist in this scope."""

    code = "parent_not_found"
    title = "No such parent"
    pointer = "/parent"


class OwnerNotFound(CallerError):
    """The owner does not exist or is not a member of the project."""

    code = "owner_not_found"
    title = "No such owner in this scope"
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
    """No operation has this id, or it has expired, or it is another caller's."""

    code = "operation_not_found"
    title = "No such operation"


class Conflict(GatewayError):
    """The request is valid, but the current state forbids it."""


class ModuleAlreadyExists(Conflict):
    """A module of this name is there already; `existing` is its id. Use it, or choose another name."""

    code = "module_already_exists"
    title = "A module of this name already exists"


class ModuleExistsDifferently(Conflict):
    """With if_exists=adopt: a module of this name exists and differs; `diff` says in what."""

    code = "module_exists_differently"
    title = "A module of this name exists with other values"


class ModuleNotEmpty(Conflict):
    """The module has children, hosts or associations. Remove them, or use cascade=true for children."""

    code = "module_not_empty"
    title = "The module is not empty"


class TemplateManaged(Conflict):
    """The parent was made from a template, which alone adds and removes its modules."""

    code = "template_managed"
    title = "A template manages this parent"


class BuiltInProtected(Conflict):
    """The backend's own built-in modules can be neither changed nor deleted."""

    code = "built_in_protected"
    title = "Built-in modules are protected"


class LimitExceeded(Conflict):
    """The backend's limit of modules, levels or quota is reached, or the account is suspended."""

    code = "limit_exceeded"
    title = "A limit of the backend is reached"


class CreateInProgress(Conflict):
    """The same name is being created at this moment. This request changed nothing; repeat it in a while."""

    code = "create_in_progress"
    title = "This name is being created at the moment"
    retryable = True


class BackendRefusal(GatewayError):
    """A backend refused the request; nothing was applied."""


class BackendPermissionDenied(BackendRefusal):
    """The backend denies the acting user this operation; `permission`, where given, says what to apply for."""

    code = "backend_permission_denied"
    title = "The backend denies permission"


class BackendRejectedCredentials(BackendRefusal):
    """The backend rejects the gateway's own credentials. The operator must correct the connection."""

    code = "backend_rejected_credentials"
    title = "The backend rejects the gateway's credentials"


class BackendMisconfigured(BackendRefusal):
    """The connection's address, route or model does not fit the backend. The operator must correct it."""

    code = "backend_misconfigured"
    title = "The connection does not fit the backend"


class BackendError(BackendRefusal):
    """The backend refused for a reason that has no better code; `upstream` carries its own."""

    code = "backend_error"
    title = "The backend refused"


class RateLimited(BackendRefusal):
    """Too many requests, for the gateway or for the backend. Retry after Retry-After."""

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
    title = "The backend did not answer in time"
    retryable = True


class BackendReplyInvalid(Unavailable):
    """A read was answered with something that is not the backend's format."""

    code = "backend_reply_invalid"
    title = "The backend's reply makes no sense"


class CircuitOpen(Unavailable):
    """The backend has been failing, and the gateway leaves it alone for a while. Retry after Retry-After."""

    code = "circuit_open"
    title = "The backend is being left alone"
    retryable = True


class Overloaded(Unavailable):
    """So many calls wait for this backend that one more would wait in vain. Retry after Retry-After."""

    code = "overloaded"
    title = "Too many calls wait for this backend"
    retryable = True


class JournalUnavailable(Unavailable):
    """The journal cannot be written, and without it nothing is sent. Retry."""

    code = "journal_unavailable"
    title = "The journal is unavailable"
    retryable = True


class Draining(Unavailable):
    """This process is about to end and begins nothing new. Retry: another one answers."""

    code = "draining"
    title = "The process is ending"
    retryable = True


class UnknownOutcome(GatewayError):
    """The change may have been applied."""

    outcome = Outcome.UNKNOWN


class OutcomeUnknown(UnknownOutcome):
    """The change was sent and may or may not have been applied. Repeat the same request, or read the module."""

    code = "outcome_unknown"
    title = "It is not known whether the change was applied"
    retryable = True


class OutcomeAmbiguous(UnknownOutcome):
    """More than one module answers to what was asked for. A person must decide which one is meant."""

    code = "outcome_ambiguous"
    title = "More than one module may be the result"


class Internal(UnknownOutcome):
    """A bug in the gateway. Report it with the request_id."""

    code = "internal"
    title = "The gateway failed"
