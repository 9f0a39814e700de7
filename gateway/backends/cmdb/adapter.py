"""The CMDB adapter: a scope is a business, a parent is a set, and a module has no children."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from marshmallow import ValidationError

from gateway.backends.cmdb.capabilities import build_capabilities
from gateway.backends.cmdb.client import CmdbClient, ModulePath
from gateway.backends.cmdb.error_refinement import (
    explain_duplicate,
    explain_not_found,
    is_transaction_conflict,
    settle_delete,
    settle_update,
)
from gateway.backends.cmdb.options import Options
from gateway.backends.cmdb.schemas import build_module_schema, dump_draft, dump_patch, load_module
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
from gateway.domain.messages import message, verbatim
from gateway.domain.module import UNSET, Module, ModuleDraft, ModulePatch, ModuleQuery, Page
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
        self.capabilities: Final = build_capabilities(options)
        self._client = CmdbClient(name, options, transport, metrics)
        self._schema = build_module_schema(self.capabilities.attributes)
        self._search_fields = list(dict.fromkeys(field.data_key for field in self._schema.load_fields.values()))

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
        """Send create_module once, after checking that a service template would not replace the name."""
        module_path = _module_path(draft)
        self._check_template_name(draft, call)
        try:
            response, data = self._client.request("create", module_path, dump_draft(self._schema, draft), call)
        except GatewayError as error:
            explained = explain_not_found(error, draft, lambda: self._require_set(module_path, call))
            raise explain_duplicate(explained, lambda: self._is_taken(draft, call)) from error
        return self._parse_module(response, module_path, data, draft)

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        """Search the set for the name; with a service template, for the template, which determines the name."""
        template_id = draft.attributes.get("service_template_id")
        condition = {"service_template_id": template_id} if template_id else {"bk_module_name": draft.name}
        return self._search(_module_path(draft), condition, 2, call)  # a second one shows that the match is ambiguous

    def check_target(self, draft: ModuleDraft, call: CallContext) -> None:
        """Search for the set of a new module, and check the name.

        Raises ScopeNotFound, ParentNotFound, TemplateManaged if the set comes from a set template, or ValidationFailed.
        """
        set_row = self._require_set(_module_path(draft), call)
        if isinstance(set_row, dict) and set_row.get("set_template_id"):
            raise TemplateManaged
        self._check_template_name(draft, call)

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: CallContext) -> Page:
        """Search in the order of ids; the cursor is the last id returned, so writes do not shift pages."""
        module_path = ModulePath(int(query.scope), int(query.parent or 0))
        condition: dict[str, Any] = {} if query.include_built_in else {"default": 0}
        if query.name is not None:
            condition["bk_module_name"] = query.name
        if cursor is not None:
            condition["bk_module_id"] = {"$gt": _parse_cursor(cursor)}
        modules = self._search(module_path, condition, page_size + 1, call)  # one more shows that another page follows
        if not modules and cursor is None:  # an unknown business or set has no modules either
            self._require_set(module_path, call)
        has_more = len(modules) > page_size
        return Page(modules[:page_size], modules[page_size - 1].native_id if has_more else None)

    def get(self, ref: str, call: CallContext) -> Module:
        """Search the set for the id; raises ModuleNotFound."""
        module_path = _parse_ref(ref)
        modules = self._search(module_path, {"bk_module_id": module_path.module}, 1, call)
        if not modules or modules[0].native_id != str(module_path.module):  # another module's row does not count
            raise ModuleNotFound
        return modules[0]

    def update(self, ref: str, patch: ModulePatch, call: CallContext) -> Module:
        """Send update_module, whose response contains no module, and read the module afterwards.

        Raises OutcomeUnknown if that read fails.
        """
        module_path = _parse_ref(ref)
        try:
            self._client.request("update", module_path, dump_patch(self._schema, patch), call)
        except GatewayError as error:
            if is_transaction_conflict(error):
                return settle_update(error, patch, lambda: self.get(ref, call))
            raise explain_duplicate(error, lambda: self._is_taken_by_another(module_path, patch, call)) from error
        try:
            return self.get(ref, call)
        except GatewayError as error:
            raise OutcomeUnknown(message("update_not_read_back")) from error

    def descendants(self, ref: str, call: CallContext) -> Sequence[str]:  # noqa: ARG002 - a module has no children
        """Return an empty sequence."""
        return ()

    def delete(self, ref: str, call: CallContext) -> None:
        """Read the module, because CMDB reports success for an unknown id too, and send delete_module."""
        self.get(ref, call)
        try:
            self._client.request("delete", _parse_ref(ref), {}, call)
        except GatewayError as error:
            if not is_transaction_conflict(error):
                raise
            settle_delete(error, lambda: self.get(ref, call))

    def _is_taken(self, draft: ModuleDraft, call: CallContext) -> bool:
        """Return whether the set has a module of the draft's name, which is also that of its service template."""
        return any(module.name == draft.name for module in self.find_by_natural_key(draft, call))

    def _is_taken_by_another(self, module_path: ModulePath, patch: ModulePatch, call: CallContext) -> bool:
        """Return whether another module of the set has the name of a patch."""
        if patch.name is UNSET:
            return False
        # Two, because one of them may be the module itself.
        modules = self._search(module_path, {"bk_module_name": patch.name}, 2, call)
        return any(module.name == patch.name and module.native_id != str(module_path.module) for module in modules)

    def _search(
        self, module_path: ModulePath, condition: Mapping[str, Any], limit: int, call: CallContext
    ) -> tuple[Module, ...]:
        """Return at most `limit` modules of a set, or of all sets of a business, in the order of their ids."""
        page = {"start": 0, "limit": limit, "sort": "bk_module_id"}
        payload = {"fields": self._search_fields, "condition": condition, "page": page}
        response, data = self._client.request("search", module_path, payload, call)
        return tuple(self._parse_module(response, module_path, row) for row in _rows(response, data, "modules"))

    def _search_sets(self, module_path: ModulePath, condition: Mapping[str, Any], call: CallContext) -> Sequence[Any]:
        """Return the first set of a business that meets the condition, or nothing."""
        page = {"start": 0, "limit": 1, "sort": "bk_set_id"}
        payload = {"fields": ["bk_set_id", "set_template_id"], "condition": condition, "page": page}
        response, data = self._client.request("search_set", module_path, payload, call)
        return _rows(response, data, "sets")

    def _require_set(self, module_path: ModulePath, call: CallContext) -> Any:
        """Return the set of the path, or any set of the business if the path names none.

        Raises ScopeNotFound if the business has no set at all (every existing one has the idle pool), ParentNotFound if
        only this set is missing.
        """
        if module_path.set and (rows := self._search_sets(module_path, {"bk_set_id": module_path.set}, call)):
            return rows[0]
        any_set = self._search_sets(module_path, {}, call)
        if not any_set:
            raise ScopeNotFound
        if module_path.set:
            raise ParentNotFound
        return any_set[0]

    def _check_template_name(self, draft: ModuleDraft, call: CallContext) -> None:
        """Raise ValidationFailed if the draft's service template has another name, which CMDB would give the module."""
        template_id = draft.attributes.get("service_template_id")
        if not template_id:
            return
        response, data = self._client.request("template", _module_path(draft), {"id": template_id}, call)
        name = data.get("name") if isinstance(data, dict) else None
        if not isinstance(name, str):
            raise response.invalid_response("no_template")
        if name != draft.name:
            detail = message("name_of_template", template=template_id, name=name)
            raise ValidationFailed(errors=[FieldError("/name", "pattern", detail, verbatim(name))])

    def _parse_module(
        self, response: UpstreamResponse, module_path: ModulePath, document: Any, draft: ModuleDraft | None = None
    ) -> Module:
        try:
            return load_module(self._schema, document, backend=self.name, path=module_path, draft=draft)
        except ValidationError as error:
            raise response.invalid_response("no_module") from error


def _rows(response: UpstreamResponse, data: Any, noun: str) -> Sequence[Any]:
    """Return the rows of a search; `noun` names them in the error for data without rows.

    For no rows CMDB may write null, as `data` or, with the count 0, as `info`: Go encodes a nil slice that way.
    """
    if data is None:
        return ()
    body = data if isinstance(data, dict) else {}
    rows = body.get("info")
    if rows is None and "info" in body and not body.get("count"):
        return ()
    if not isinstance(rows, list):
        raise response.invalid_response(f"no_{noun}")
    return rows


def _module_path(draft: ModuleDraft) -> ModulePath:
    return ModulePath(int(draft.scope), int(draft.parent or 0))


def _parse_ref(ref: str) -> ModulePath:
    """Return the ids in a ref; raises ModuleNotFound if it has another form."""
    match = _REF.fullmatch(ref)
    if match is None or max(ids := [int(part) for part in match.groups()]) > INT64_MAX:
        raise ModuleNotFound
    return ModulePath(*ids)


def _parse_cursor(cursor: str) -> int:
    """Return the id in a cursor; raises ValidationFailed if it is no id."""
    if re.fullmatch(r"[1-9][0-9]{0,18}", cursor, re.ASCII) is None or int(cursor) > INT64_MAX:
        raise ValidationFailed(
            errors=[FieldError("/page_token", "pattern", message("page_token_invalid", value=cursor))]
        )
    return int(cursor)
