"""The CMDB adapter: a scope is a business, a parent is a set, and a module has no children."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from marshmallow import ValidationError

from gateway.backends.cmdb.capabilities import capabilities
from gateway.backends.cmdb.client import CmdbClient, ModulePath
from gateway.backends.cmdb.options import Options
from gateway.backends.cmdb.schemas import create_schema, dump_draft, dump_patch, load_module
from gateway.domain.backend import NO_SERVICES, Backend, BackendServices, CallContext, ConnectionState
from gateway.domain.capabilities import INT64_MAX
from gateway.domain.errors import (
    FieldError,
    GatewayError,
    ModuleNotFound,
    OutcomeUnknown,
    ParentNotFound,
    ScopeNotFound,
    TemplateManaged,
    ValidationFailed,
)
from gateway.domain.messages import message
from gateway.domain.module import Module, ModuleDraft, ModulePatch, ModuleQuery, Page
from gateway.domain.runtime import Clock
from gateway.domain.telemetry import UpstreamMetrics
from gateway.transport import UpstreamClient, UpstreamResponse

_REF: Final = re.compile(r"([1-9][0-9]{0,18})\.([1-9][0-9]{0,18})\.([1-9][0-9]{0,18})", re.ASCII)


def create_backend(name: str, options: Options, clock: Clock, services: BackendServices = NO_SERVICES) -> Backend:
    """Create a connection to one CMDB."""
    return CmdbBackend(name, options, UpstreamClient(options.limits, clock, name, services), services.metrics)


class CmdbBackend:
    """One CMDB; implements Backend."""

    def __init__(
        self, name: str, options: Options, transport: UpstreamClient, metrics: UpstreamMetrics | None = None
    ) -> None:
        self.name: Final = name
        self.capabilities: Final = capabilities(options)
        self._client = CmdbClient(name, options, transport, metrics)
        self._schema = create_schema(self.capabilities.attributes)
        self._fields = list(dict.fromkeys(field.data_key for field in self._schema.load_fields.values()))

    @property
    def state(self) -> ConnectionState:
        """The state that the last exchange showed."""
        return self._client.transport.state

    def scope_of(self, ref: str) -> str:
        """Return the business, the first of the three ids."""
        return str(_parse_ref(ref).biz)

    def natural_key(self, draft: ModuleDraft) -> tuple[str, ...]:
        """Return business, set and name: a name is unique in its set."""
        return (draft.scope, draft.parent or "", draft.name)

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        """Send create_module once."""
        path = _module_path(draft)
        response, data = self._client.request("create", path, dump_draft(self._schema, draft), call)
        return self._parse_module(response, path, data, draft)

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        """Search the set for the name, or for the service template if that determines the name."""
        template = draft.attributes.get("service_template_id")
        condition = {"service_template_id": template} if template else {"bk_module_name": draft.name}
        return self._search(_module_path(draft), condition, 2, call)

    def check_target(self, draft: ModuleDraft, call: CallContext) -> None:
        """Search for the set of a new module; raise if it is missing or comes from a set template."""
        row = self._require_set(_module_path(draft), call)
        if isinstance(row, dict) and row.get("set_template_id"):
            raise TemplateManaged

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: CallContext) -> Page:
        """Search in the order of ids; the cursor is the last id returned, so writes do not shift pages."""
        path = ModulePath(int(query.scope), int(query.parent or 0))
        condition: dict[str, Any] = {} if query.include_built_in else {"default": 0}
        if query.name is not None:
            condition["bk_module_name"] = query.name
        if cursor is not None:
            condition["bk_module_id"] = {"$gt": _parse_cursor(cursor)}
        modules = self._search(path, condition, page_size + 1, call)
        if not modules and cursor is None:
            self._require_set(path, call)
        has_more = len(modules) > page_size
        return Page(modules[:page_size], modules[page_size - 1].native_id if has_more else None)

    def get(self, ref: str, call: CallContext) -> Module:
        """Search the set for the id."""
        path = _parse_ref(ref)
        modules = self._search(path, {"bk_module_id": path.module}, 1, call)
        if not modules or modules[0].native_id != str(path.module):
            raise ModuleNotFound
        return modules[0]

    def update(self, ref: str, patch: ModulePatch, call: CallContext) -> Module:
        """Send update_module, whose response contains no module, and read the module afterwards."""
        self._client.request("update", _parse_ref(ref), dump_patch(self._schema, patch), call)
        try:
            return self.get(ref, call)
        except GatewayError as error:
            raise OutcomeUnknown(message("update_not_read_back")) from error

    def delete(self, ref: str, *, cascade: bool, call: CallContext) -> Sequence[str]:  # noqa: ARG002 - a module has no children
        """Read the module, because CMDB reports success for an unknown id, then send delete_module."""
        self.get(ref, call)
        self._client.request("delete", _parse_ref(ref), {}, call)
        return (ref,)

    def _search(
        self, path: ModulePath, condition: Mapping[str, Any], limit: int, call: CallContext
    ) -> tuple[Module, ...]:
        page = {"start": 0, "limit": limit, "sort": "bk_module_id"}
        payload = {"fields": self._fields, "condition": condition, "page": page}
        response, data = self._client.request("search", path, payload, call)
        return tuple(self._parse_module(response, path, row) for row in _rows(response, data, "modules"))

    def _search_sets(self, path: ModulePath, condition: Mapping[str, Any], call: CallContext) -> Sequence[Any]:
        page = {"start": 0, "limit": 1, "sort": "bk_set_id"}
        payload = {"fields": ["bk_set_id", "set_template_id"], "condition": condition, "page": page}
        response, data = self._client.request("search_set", path, payload, call)
        return _rows(response, data, "sets")

    def _require_set(self, path: ModulePath, call: CallContext) -> Any:
        """Return the set, or a set of the business if the path contains none; raise ParentNotFound or ScopeNotFound.

        Every business has a set, at least the idle pool; a search in an unknown business returns no rows.
        """
        if path.set and (rows := self._search_sets(path, {"bk_set_id": path.set}, call)):
            return rows[0]
        rows = self._search_sets(path, {}, call)
        if not rows:
            raise ScopeNotFound
        if path.set:
            raise ParentNotFound
        return rows[0]

    def _parse_module(
        self, response: UpstreamResponse, path: ModulePath, document: Any, draft: ModuleDraft | None = None
    ) -> Module:
        try:
            return load_module(self._schema, document, backend=self.name, path=path, draft=draft)
        except ValidationError as error:
            raise response.invalid_response("no_module") from error


def _rows(response: UpstreamResponse, data: Any, noun: str) -> Sequence[Any]:
    rows = data.get("info") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise response.invalid_response(f"no_{noun}")
    return rows


def _module_path(draft: ModuleDraft) -> ModulePath:
    return ModulePath(int(draft.scope), int(draft.parent or 0))


def _parse_ref(ref: str) -> ModulePath:
    match = _REF.fullmatch(ref)
    if match is None or max(ids := [int(part) for part in match.groups()]) > INT64_MAX:
        raise ModuleNotFound
    return ModulePath(*ids)


def _parse_cursor(cursor: str) -> int:
    if re.fullmatch(r"[1-9][0-9]{0,18}", cursor, re.ASCII) is None or int(cursor) > INT64_MAX:
        raise ValidationFailed(errors=[FieldError("/page_token", "pattern", message("page_token_invalid"))])
    return int(cursor)
