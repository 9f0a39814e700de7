"""The schemas of responses, which dump them and describe them in the OpenAPI document."""

from __future__ import annotations

from marshmallow import Schema, fields

from gateway.api.schemas.fields import UtcDateTime
from gateway.domain.errors import REGISTRY, Outcome
from gateway.domain.operation import State


class OwnerSchema(Schema):
    """An owner of a module."""

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
    created_at = UtcDateTime(required=True, allow_none=True)
    updated_at = UtcDateTime(required=True, allow_none=True)
    unavailable = fields.List(fields.String(), required=True)
    etag = fields.String(required=True, allow_none=True, metadata={"description": "For If-Match; null if unknown."})


class PageSchema(Schema):
    """One page of a list of modules."""

    modules = fields.List(fields.Nested(ModuleSchema), required=True)
    next_page_token = fields.String(required=True, allow_none=True)


class LookupItemSchema(Schema):
    """A scope, parent or owner that a create can name; dumps a LookupItem."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    path = fields.String(
        required=True, metadata={"description": "The names from the root; of an owner the display name."}
    )
    usable = fields.Boolean(required=True)
    why = fields.String(
        required=True, allow_none=True, metadata={"description": "The code of the error that a create would get."}
    )


class LookupPageSchema(Schema):
    """One page of a lookup."""

    items = fields.List(fields.Nested(LookupItemSchema), required=True)
    next_page_token = fields.String(required=True, allow_none=True)


class FieldErrorSchema(Schema):
    """One error in a request."""

    pointer = fields.String(metadata={"description": "A JSON pointer into the body; absent for an error in the query."})
    in_ = fields.String(data_key="in", attribute="in", metadata={"enum": ["query"]})
    parameter = fields.String(metadata={"description": "The parameter of the query, in place of a pointer."})
    code = fields.String(required=True)
    detail = fields.String(required=True)
    allowed = fields.String()


class UpstreamSchema(Schema):
    """The backend's own error: its code, not its message."""

    backend = fields.String(required=True)
    status = fields.Integer(required=True)
    code = fields.String()
    request_id = fields.String()


class ProblemSchema(Schema):
    """The body of every error response (RFC 9457)."""

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
    existing = fields.String(metadata={"description": "The id of the module in the way, or of the one written."})
    etag = fields.String(metadata={"description": "412: the module's current etag."})
    diff = fields.Dict(metadata={"description": "By JSON pointer: what was wanted, what is there."})
    instance = fields.String(metadata={"description": "The operation to follow."})
    request_id = fields.String(required=True)


class CheckSchema(Schema):
    """One check of a preview."""

    check = fields.String(required=True, metadata={"enum": ["writable", "rules", "place", "name_free"]})
    passed = fields.Boolean(required=True)
    code = fields.String()
    detail = fields.String()
    existing = fields.String()


class PreviewSchema(Schema):
    """The expected result of a create."""

    would = fields.String(required=True, metadata={"enum": ["create", "adopt", "conflict", "refuse"]})
    checks = fields.List(fields.Nested(CheckSchema), required=True)


class BatchSummarySchema(Schema):
    """The number of items by what became of them."""

    created = fields.Integer(required=True)
    adopted = fields.Integer(required=True)
    replayed = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    unknown_ = fields.Integer(required=True, data_key="unknown", attribute="unknown")  # Schema has a member `unknown`
    not_started = fields.Integer(required=True)


class BatchItemResultSchema(Schema):
    """What became of one item."""

    ref = fields.String(required=True)
    status = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Of a single create; null if it was not started."}
    )
    outcome = fields.String(required=True, metadata={"enum": [outcome.value for outcome in Outcome]})
    module = fields.Nested(ModuleSchema, required=True, allow_none=True)
    problem = fields.Nested(ProblemSchema, required=True, allow_none=True)
    operation = fields.String(required=True, allow_none=True, metadata={"description": "Its id."})
    not_started = fields.String(metadata={"enum": ["deadline", "draining", "parent"], "description": "Why."})
    preview = fields.Nested(PreviewSchema, metadata={"description": "Only with validate_only."})


class BatchResultSchema(Schema):
    """What became of each item, in the order of the request."""

    summary = fields.Nested(BatchSummarySchema, required=True)
    items = fields.List(fields.Nested(BatchItemResultSchema), required=True)


class RegisteredErrorSchema(Schema):
    """One public error code."""

    code = fields.String(required=True)
    status = fields.Integer(required=True)
    title = fields.String(required=True)
    outcome = fields.String(required=True)
    retryable = fields.Boolean(required=True)
    meaning = fields.String(required=True)


class FieldErrorCodeSchema(Schema):
    """One code of `errors[]` that is no code of an error."""

    code = fields.String(required=True)
    meaning = fields.String(required=True)


class RegistrySchema(Schema):
    """All public error codes."""

    errors = fields.List(fields.Nested(RegisteredErrorSchema), required=True)
    field_errors = fields.List(fields.Nested(FieldErrorCodeSchema), required=True)


class BackendSummarySchema(Schema):
    """A connection; dumps a Backend."""

    name = fields.String(required=True)
    type = fields.String(required=True, attribute="capabilities.type")
    title = fields.String(required=True, attribute="capabilities.title")
    state = fields.String(required=True, metadata={"enum": ["unused", "reachable", "unreachable", "circuit_open"]})
    mode = fields.String(required=True, attribute="capabilities.mode", metadata={"enum": ["read_write", "read_only"]})


class BackendsSchema(Schema):
    """All connections."""

    backends = fields.List(fields.Nested(BackendSummarySchema), required=True)


class FieldSchema(Schema):
    """A field of a module and the connection's rules for it; dumps a public name, a FieldSpec and a JSON Schema."""

    name = fields.String(required=True)
    meaning = fields.String(required=True, attribute="spec.description")
    required = fields.Boolean(required=True, attribute="spec.required")
    readable = fields.Boolean(required=True, attribute="spec.readable")
    writable = fields.List(fields.String(), required=True, attribute="spec.writable")
    schema = fields.Dict(required=True)


class BackendSchema(BackendSummarySchema):
    """A connection and its capabilities."""

    scope = fields.String(required=True, attribute="capabilities.scope.description")
    parent = fields.String(required=True, attribute="capabilities.parent.description")
    fields_ = fields.List(fields.Nested(FieldSchema), required=True, data_key="fields")
    limits = fields.Dict(required=True, attribute="capabilities.limits")
    lookups = fields.List(fields.String(), required=True, attribute="capabilities.lookups")
    settle_seconds = fields.Float(required=True, attribute="capabilities.settle_seconds")
    credential_header = fields.String(required=True, allow_none=True, attribute="capabilities.credential_header")
    notes = fields.List(fields.String(), required=True, attribute="capabilities.notes")
    create_schema = fields.Dict(required=True, metadata={"description": "JSON Schema of a create."})


class EvidenceSchema(Schema):
    """One observation about a create."""

    at = UtcDateTime(required=True)
    what = fields.String(required=True)
    hits = fields.List(fields.String(), required=True, allow_none=True)
    confidence = fields.String()
    reason = fields.String(metadata={"description": "Of a person's verdict."})
    by = fields.String(metadata={"description": "The caller that decided; only with `operate`."})
    user = fields.String(allow_none=True, metadata={"description": "Its user; only with `operate`."})


class OperationSchema(Schema):
    """A create and its state; dumps an Operation, its module and its error in the caller's language."""

    id = fields.String(required=True, attribute="operation.claim.id")
    kind = fields.String(required=True, dump_default="create", metadata={"enum": ["create"]})
    state = fields.String(
        required=True, attribute="operation.state.value", metadata={"enum": [state.value for state in State]}
    )
    outcome = fields.String(
        required=True,
        attribute="operation.state.outcome.value",
        metadata={"enum": [outcome.value for outcome in Outcome]},
    )
    backend = fields.String(required=True, attribute="operation.claim.backend")
    scope = fields.String(required=True, attribute="operation.claim.scope")
    caller = fields.String(attribute="caller", metadata={"description": "Who requested it; only with `operate`."})
    user = fields.String(allow_none=True, metadata={"description": "Its user; only with `operate`."})
    request = fields.Dict(required=True, attribute="operation.claim.draft.draft")
    request_id = fields.String(required=True, attribute="operation.claim.request_id")
    module = fields.Nested(ModuleSchema, required=True, allow_none=True)
    error = fields.Dict(required=True, allow_none=True)
    evidence = fields.List(fields.Nested(EvidenceSchema), required=True)
    claimed_at = UtcDateTime(required=True, attribute="operation.claim.claimed_at")
    settles_at = UtcDateTime(required=True, allow_none=True, attribute="operation.settles_at")
    updated_at = UtcDateTime(required=True, attribute="operation.updated_at")


class OperationPageSchema(Schema):
    """One page of operations."""

    operations = fields.List(fields.Nested(OperationSchema), required=True)
    next_page_token = fields.String(required=True, allow_none=True)


class ChangeSchema(Schema):
    """One entry of the change log; dumps a ChangeEntry."""

    seq = fields.Integer(required=True)
    at = UtcDateTime(required=True)
    action = fields.String(required=True, metadata={"enum": ["create", "update", "delete"]})
    outcome = fields.String(
        required=True, attribute="outcome.value", metadata={"enum": [outcome.value for outcome in Outcome]}
    )
    module = fields.String(required=True, allow_none=True)
    backend = fields.String(required=True)
    scope = fields.String(required=True)
    caller = fields.String(required=True)
    user = fields.String(required=True, allow_none=True)
    request_id = fields.String(required=True)
    operation = fields.String(required=True, allow_none=True)
    fields_ = fields.Dict(
        required=True,
        attribute="fields",
        data_key="fields",
        metadata={"description": "By field: the value `to`, and the one `from` which it came, if that was read."},
    )


class ChangePageSchema(Schema):
    """Entries of the change log, in the order of `seq`."""

    changes = fields.List(fields.Nested(ChangeSchema), required=True)
    next_after = fields.Integer(required=True, metadata={"description": "The `after` of the next request."})


class StatusSchema(Schema):
    """The state of the process."""

    status = fields.String(required=True)
