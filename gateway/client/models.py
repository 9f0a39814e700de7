"""The documents of the API, as the client takes and returns them: plain dictionaries with typed members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

Outcome = Literal["applied", "not_applied", "unknown"]
IfExists = Literal["error", "adopt"]


class OwnerId(TypedDict):
    """An owner, in a request."""

    id: str


class Draft(TypedDict, total=False):
    """A module to create; the capabilities of the backend say which members are required."""

    backend: str
    scope: str
    parent: str | None
    name: str
    description: str | None
    owners: Sequence[str | OwnerId] | None
    attributes: Mapping[str, Any]


class BatchItem(Draft, total=False):
    """One create of a batch."""

    ref: str
    parent_ref: str


class Patch(TypedDict, total=False):
    """Changes of a module: an absent member stays as it is, None empties it."""

    name: str
    description: str | None
    owners: Sequence[str | OwnerId] | None
    attributes: Mapping[str, Any]


class Owner(TypedDict):
    """An owner of a module."""

    id: str
    name: str | None
    display_name: str | None


class Module(TypedDict):
    """A module. Times are RFC 3339 in UTC."""

    id: str
    backend: str
    native_id: str
    scope: str
    parent: str | None
    name: str
    description: str | None
    owners: list[Owner]
    attributes: dict[str, Any]
    depth: int | None
    has_children: bool | None
    built_in: bool
    created_at: str | None
    updated_at: str | None
    unavailable: list[str]
    etag: str | None


class Check(TypedDict):
    """One check of a preview."""

    check: str
    passed: bool
    code: NotRequired[str]
    detail: NotRequired[str]
    existing: NotRequired[str]


class Preview(TypedDict):
    """What a create would do."""

    would: Literal["create", "adopt", "conflict", "refuse"]
    checks: list[Check]


# The functional form, because `in` is a keyword.
FieldError = TypedDict(
    "FieldError",
    {
        "pointer": NotRequired[str],
        "in": NotRequired[str],
        "parameter": NotRequired[str],
        "code": str,
        "detail": str,
        "allowed": NotRequired[str],
    },
)


class Upstream(TypedDict):
    """The backend's own error."""

    backend: str
    status: int
    code: NotRequired[str]
    request_id: NotRequired[str]


class Problem(TypedDict):
    """The body of an error (RFC 9457). The client's own errors have the same form, with codes of their own."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    outcome: Outcome
    retryable: bool
    request_id: str
    errors: NotRequired[list[FieldError]]
    upstream: NotRequired[Upstream]
    permission: NotRequired[dict[str, Any]]
    existing: NotRequired[str]
    etag: NotRequired[str]
    diff: NotRequired[dict[str, Any]]
    instance: NotRequired[str]


class BatchSummary(TypedDict):
    """The number of items by what became of them."""

    created: int
    adopted: int
    replayed: int
    failed: int
    unknown: int
    not_started: int


class BatchItemResult(TypedDict):
    """What became of one item."""

    ref: str
    status: int | None
    outcome: Outcome
    module: Module | None
    problem: Problem | None
    operation: str | None
    not_started: NotRequired[Literal["deadline", "draining", "parent"]]
    preview: NotRequired[Preview]


class BatchResult(TypedDict):
    """What became of each item, in the order of the request."""

    summary: BatchSummary
    items: list[BatchItemResult]


class Evidence(TypedDict):
    """One observation about a create."""

    at: str
    what: str
    hits: list[str] | None
    confidence: NotRequired[str]
    reason: NotRequired[str]
    by: NotRequired[str]
    user: NotRequired[str | None]


class Operation(TypedDict):
    """A create and its state."""

    id: str
    kind: str
    state: Literal["sending", "succeeded", "refused", "reconciling", "not_applied", "ambiguous"]
    outcome: Outcome
    backend: str
    scope: str
    request: dict[str, Any]
    request_id: str
    module: Module | None
    error: dict[str, Any] | None
    evidence: list[Evidence]
    claimed_at: str
    settles_at: str | None
    updated_at: str
    caller: NotRequired[str]
    user: NotRequired[str | None]


class Change(TypedDict):
    """One entry of the change log."""

    seq: int
    at: str
    action: Literal["create", "update", "delete"]
    outcome: Outcome
    module: str | None
    backend: str
    scope: str
    caller: str
    user: str | None
    request_id: str
    operation: str | None
    fields: dict[str, Any]


class LookupItem(TypedDict):
    """A scope, parent or owner that a create can name."""

    id: str
    name: str
    path: str
    usable: bool
    why: str | None


class BackendSummary(TypedDict):
    """A connection."""

    name: str
    type: str
    title: str
    state: str
    mode: Literal["read_write", "read_only"]
