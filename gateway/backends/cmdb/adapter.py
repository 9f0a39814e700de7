"""The adapter for CMDB: our words into theirs and back, over either route."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway import json_codec
from gateway.backends.cmdb.auth import Credentials
from gateway.backends.cmdb.capabilities import capabilities
from gateway.backends.cmdb.envelope import read_data
from gateway.backends.cmdb.options import Options
from gateway.backends.cmdb.routes import ROUTES, WRITES, Place
from gateway.backends.cmdb.schemas import read_module, write_draft, write_patch
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
from gateway.domain.module import Module, ModuleDraft, ModulePatch, ModuleQuery, Page
from gateway.domain.runtime import Clock
from gateway.transport import UpstreamClient, UpstreamRequest, UpstreamResponse

_REF: Final = re.compile(r"([1-9][0-9]{0,18})\.([1-9][0-9]{0,18})\.([1-9][0-9]{0,18})", re.ASCII)
_SYSTEM: Final = (
    "bk_module_id", "bk_module_name", "bk_set_id", "operator", "create_time", "last_time",
)  # fmt: skip


def create_backend(name: str, options: Options, clock: Clock, services: BackendServices = NO_SERVICES) -> Backend:
    """Make a connection to one CMDB."""
    return CmdbBackend(name, options, UpstreamClient(options.limits, clock, name, services))


class CmdbBackend:
    """One CMDB; implements Backend. A scope is a business, a parent a set; a module has no children."""

    def __init__(self, name: str, options: Options, transport: UpstreamClient) -> None:
        self.name: Final = name
        self.capabilities: Final = capabilities(options)
        self._options = options
        self._transport = transport
        self._credentials = Credentials(options)
        self._routes = ROUTES[options.route]
        self._attributes = [field.name for field in self.capabilities.attributes]
        self._fields = [*_SYSTEM, *self._attributes]

    @property
    def state(self) -> ConnectionState:
        """Return what the last exchange showed."""
        return self._transport.state

    def scope_of(self, ref: str) -> str:
        """Return the business, the first of the three ids."""
        return str(_parse(ref).biz)

    def natural_key(self, draft: ModuleDraft) -> tuple[str, ...]:
        """Return business, set and name: a name is unique in its set."""
        return (draft.scope, draft.parent or "", draft.name)

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        """Send create_module once."""
        place = _place(draft)
        reply, data = self._ask("create", place, write_draft(draft), call)
        return self._read(reply, place, data, draft)

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        """Search the set for the name, or for the template that decides it."""
        template = draft.attributes.get("service_template_id")
        condition = {"service_template_id": template} if template else {"bk_module_name": draft.name}
        return self._search(_place(draft), condition, 2, call)

    def check_target(self, draft: ModuleDraft, call: CallContext) -> None:
        """Look for the set, and for any set of the business where it is not there."""
        place = _place(draft)
        found = self._sets(place, {"bk_set_id": place.set}, call)
        if not found:
            raise ParentNotFound if self._sets(place, {}, call) else ScopeNotFound
        if isinstance(found[0], dict) and found[0].get("set_template_id"):
            raise TemplateManaged

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: CallContext) -> Page:
        """Search in the order of ids; the cursor is the last id seen, so that no page shifts under writes."""
        place = Place(int(query.scope), int(query.parent or 0))
        condition: dict[str, Any] = {} if query.include_built_in else {"default": 0}
        if query.name is not None:
            condition["bk_module_name"] = query.name
        if cursor is not None:
            condition["bk_module_id"] = {"$gt": _parse_cursor(cursor)}
        modules = self._search(place, condition, page_size + 1, call)
        if not modules and cursor is None:
            self._check_listed(place, call)
        more = len(modules) > page_size
        return Page(modules[:page_size], modules[page_size - 1].native_id if more else None)

    def get(self, ref: str, call: CallContext) -> Module:
        """Search the set for the id."""
        place = _parse(ref)
        modules = self._search(place, {"bk_module_id": place.module}, 1, call)
        if not modules or modules[0].native_id != str(place.module):
            raise ModuleNotFound
        return modules[0]

    def update(self, ref: str, patch: ModulePatch, call: CallContext) -> Module:
        """Send update_module, which answers nothing, and read the module back."""
        self._ask("update", _parse(ref), write_patch(patch), call)
        try:
            return self.get(ref, call)
        except GatewayError as error:
            raise OutcomeUnknown("The change was accepted, but the module could not be read back.") from error

    def delete(self, ref: str, *, cascade: bool, call: CallContext) -> Sequence[str]:  # noqa: ARG002 - a module here has no children
        """Make sure it is there, for CMDB calls the deletion of nothing a success, then send delete_module."""
        self.get(ref, call)
        self._ask("delete", _parse(ref), {}, call)
        return (ref,)

    def _search(self, place: Place, condition: Mapping[str, Any], limit: int, call: CallContext) -> tuple[Module, ...]:
        page = {"start": 0, "limit": limit, "sort": "bk_module_id"}
        payload = {"fields": self._fields, "condition": condition, "page": page}
        reply, data = self._ask("search", place, payload, call)
        rows = data.get("info") if isinstance(data, dict) else None
        if not isinstance(rows, list):
            raise reply.invalid("it lists no modules")
        return tuple(self._read(reply, place, row) for row in rows)

    def _sets(self, place: Place, condition: Mapping[str, Any], call: CallContext) -> Sequence[Any]:
        """Every business has a set, the idle pool at least; reads of an unknown one find nothing."""
        page = {"start": 0, "limit": 1, "sort": "bk_set_id"}
        payload = {"fields": ["bk_set_id", "set_template_id"], "condition": condition, "page": page}
        reply, data = self._ask("search_set", place, payload, call)
        rows = data.get("info") if isinstance(data, dict) else None
        if not isinstance(rows, list):
            raise reply.invalid("it lists no sets")
        return rows

    def _check_listed(self, place: Place, call: CallContext) -> None:
        if place.set and self._sets(place, {"bk_set_id": place.set}, call):
            return
        if not self._sets(place, {}, call):
            raise ScopeNotFound
        if place.set:
            raise ParentNotFound

    def _ask(
        self, operation: str, place: Place, payload: Mapping[str, Any], call: CallContext
    ) -> tuple[UpstreamResponse, Any]:
        target = self._routes[operation](place, payload)
        request = UpstreamRequest(
            method=target.method,
            url=self._options.base_url + target.path,
            headers={**self._credentials.headers(call), "X-Request-Id": call.request_id},
            body=None if target.body is None else json_codec.write(target.body),
            is_write=operation in WRITES,
        )
        reply = self._transport.send(request, call)
        return reply, read_data(reply, self.name, operation)

    def _read(self, reply: UpstreamResponse, place: Place, document: Any, draft: ModuleDraft | None = None) -> Module:
        try:
            return read_module(self.name, place, document, attributes=self._attributes, draft=draft)
        except ValueError as error:
            raise reply.invalid("it describes no module") from error


def _place(draft: ModuleDraft) -> Place:
    return Place(int(draft.scope), int(draft.parent or 0))


def _parse(ref: str) -> Place:
    """Read our own part of an id; anything else is the id of no module."""
    match = _REF.fullmatch(ref)
    if match is None or max(ids := [int(part) for part in match.groups()]) > INT64_MAX:
        raise ModuleNotFound
    return Place(*ids)


def _parse_cursor(cursor: str) -> int:
    if re.fullmatch(r"[1-9][0-9]{0,18}", cursor, re.ASCII) is None or int(cursor) > INT64_MAX:
        raise ValidationFailed(errors=[FieldError("/page_token", "pattern", "Is no token of this list.")])
    return int(cursor)
