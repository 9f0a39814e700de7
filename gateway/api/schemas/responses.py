"""What is answered: the schemas that dump it, and from which the OpenAPI document is made."""

from __future__ import annotations

from marshmallow import Schema, fields

from gateway.api.schemas.fields import Instant
from gateway.api.statuses import STATUS
from gateway.domain.errors import REGISTRY, Outcome
from gateway.domain.operation import State


class OwnerSchema(Schema):
    """Who answers for a module."""

    id = fields.String(required=True)
    name = fields.String(required=True, allow_none=True)
    display_name = fields.String(required=True, allow_none=True)


class ModuleSchema(Schema):
    """A module."""

    id = fields.String(required=True)
    backend = fields.String(required=True)
    native_id = fields.String(required=True)
    scope = fields.String(required=True)
    parent = fields.String(required=True, allow_none=True)
    name = fields.String(required=True)
    description = fields.String(required=True, allow_none=True)
    owners = fields.List(fields.Nested(OwnerSchema), required=True)
    attributes = fields.Dict(required=True)
    depth = fields.Integer(required=True, allow_none=True)
    has_children = fields.Boolean(required=True, allow_none=True)
    built_in = fields.Boolean(required=True)
    created_at = Instant(required=True, allow_none=True)
    updated_at = Instant(required=True, allow_none=True)
    unavailable = fields.List(fields.String(), required=True)


class PageSchema(Schema):
    """One page of a list."""

    modules = fields.List(fields.Nested(ModuleSchema), required=True)
    next_page_token = fields.String(required=True, allow_none=True)


class FieldErrorSchema(Schema):
    """One mistake in a request."""

    pointer = fields.String(required=True, metadata={"description": "A JSON pointer; a parameter's name in a query."})
    code = fields.String(required=True)
    detail = fields.String(required=True)
    allowed = fields.String()


class UpstreamSchema(Schema):
    """A backend's own account; its code, never its words."""

    backend = fields.String(required=True)
    status = fields.Integer(required=True)
    code = fields.String()
    request_id = fields.String()


class ProblemSchema(Schema):
    """The envelope of every error (RFC 9457)."""

    type = fields.String(required=True, metadata={"format": "uri-reference"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True, metadata={"enum": sorted(REGISTRY)})
    outcome = fields.String(required=True, metadata={"enum": [outcome.value for outcome in Outcome]})
    retryable = fields.Boolean(required=True)
    errors = fields.List(fields.Nested(FieldErrorSchema))
    upstream = fields.Nested(UpstreamSchema)
    permission = fields.Dict(metadata={"description": "CMDB's: what to apply for."})
    existing = fields.String(metadata={"description": "The id of the module in the way."})
    diff = fields.Dict(metadata={"description": "By JSON pointer: what was wanted, what is there."})
    instance = fields.String(metadata={"description": "The operation to follow."})
    request_id = fields.String(required=True)


class CheckSchema(Schema):
    """One thing looked at."""

    check = fields.String(required=True, metadata={"enum": ["rules", "place", "name_free"]})
    passed = fields.Boolean(required=True)
    code = fields.String()
    detail = fields.String()
    existing = fields.String()


class PreviewSchema(Schema):
    """What a create would meet."""

    would = fields.String(required=True, metadata={"enum": ["create", "conflict"]})
    checks = fields.List(fields.Nested(CheckSchema), required=True)


class RegisteredErrorSchema(Schema):
    """One public error."""

    code = fields.String(required=True)
    status = fields.Integer(required=True, metadata={"enum": sorted(set(STATUS.values()))})
    title = fields.String(required=True)
    outcome = fields.String(required=True)
    retryable = fields.Boolean(required=True)
    meaning = fields.String(required=True)


class RegistrySchema(Schema):
    """All public errors."""

    errors = fields.List(fields.Nested(RegisteredErrorSchema), required=True)


class BackendSummarySchema(Schema):
    """One connection."""

    name = fields.String(required=True)
    type = fields.String(required=True)
    title = fields.String(required=True)
    state = fields.String(required=True, metadata={"enum": ["unused", "reachable", "unreachable", "circuit_open"]})


class BackendsSchema(Schema):
    """All connections."""

    backends = fields.List(fields.Nested(BackendSummarySchema), required=True)


class FieldSchema(Schema):
    """One field of a module and this backend's rules for it."""

    name = fields.String(required=True)
    meaning = fields.String(required=True)
    required = fields.Boolean(required=True)
    readable = fields.Boolean(required=True)
    writable = fields.List(fields.String(), required=True)
    schema = fields.Dict(required=True)


class BackendSchema(BackendSummarySchema):
    """One connection and its capabilities."""

    scope = fields.String(required=True)
    parent = fields.String(required=True)
    fields_ = fields.List(fields.Nested(FieldSchema), required=True, data_key="fields")
    limits = fields.Dict(required=True)
    settle_seconds = fields.Float(required=True)
    credential_header = fields.String(required=True, allow_none=True)
    notes = fields.List(fields.String(), required=True)
    create_schema = fields.Dict(required=True, metadata={"description": "JSON Schema of a create."})


class EvidenceSchema(Schema):
    """One thing that was learnt about a create."""

    at = fields.String(required=True, metadata={"format": "date-time"})
    what = fields.String(required=True)
    hits = fields.List(fields.String(), required=True, allow_none=True)
    confidence = fields.String()


class OperationSchema(Schema):
    """A create, and what has become of it."""

    id = fields.String(required=True)
    kind = fields.String(required=True, metadata={"enum": ["create"]})
    state = fields.String(required=True, metadata={"enum": [state.value for state in State]})
    outcome = fields.String(required=True, metadata={"enum": [outcome.value for outcome in Outcome]})
    backend = fields.String(required=True)
    request = fields.Dict(required=True)
    request_id = fields.String(required=True)
    module = fields.Nested(ModuleSchema, required=True, allow_none=True)
    error = fields.Dict(required=True, allow_none=True)
    evidence = fields.List(fields.Nested(EvidenceSchema), required=True)
    claimed_at = fields.String(required=True, metadata={"format": "date-time"})
    settles_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    updated_at = fields.String(required=True, metadata={"format": "date-time"})


class StatusSchema(Schema):
    """How the process is."""

    status = fields.String(required=True)
