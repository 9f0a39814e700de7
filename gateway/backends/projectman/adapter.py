"""The ProjectMan adapter: a scope is a project, and a parent is another module of the project."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from marshmallow import ValidationError

from gateway.backends.projectman.auth import create_auth
from gateway.backends.projectman.capabilities import PROJECT_ID, build_capabilities
from gateway.backends.projectman.client import PAGE_SIZE, ProjectManClient
from gateway.backends.projectman.error_refinement import ErrorRefiner
from gateway.backends.projectman.options import Options
from gateway.backends.projectman.schemas import ModuleSource, dump_module, load_module
from gateway.backends.projectman.tree import NodeFilter, subtree_of
from gateway.domain.backend import NO_SERVICES, Backend, BackendServices, CallContext, ConnectionState
from gateway.domain.capabilities import INT64_MAX
from gateway.domain.errors import (
    DescriptionRequired,
    FieldError,
    GatewayError,
    ModuleNotFound,
    ParentNotFound,
    ValidationFailed,
)
from gateway.domain.messages import message
from gateway.domain.module import UNSET, Module, ModuleDraft, ModulePatch, ModuleQuery, Page, Unset
from gateway.domain.runtime import Clock
from gateway.domain.telemetry import UpstreamMetrics
from gateway.transport import UpstreamClient, UpstreamResponse

_REF: Final = re.compile(rf"({PROJECT_ID})\.([1-9][0-9]{{0,18}})", re.ASCII)
_CURSOR: Final = re.compile(r"([0-9]{1,5})\.([0-9]{1,6})", re.ASCII)


def create_backend(name: str, options: Options, clock: Clock, services: BackendServices = NO_SERVICES) -> Backend:
    """Create a connection to ProjectMan in one region."""
    transport = UpstreamClient(options.limits, clock, name, services)
    return ProjectManBackend(name, options, transport, clock, services.metrics)


class ProjectManBackend:
    """ProjectMan; implements Backend. Its API has no call that reads one module, so reads use the list."""

    def __init__(
        self,
        name: str,
        options: Options,
        transport: UpstreamClient,
        clock: Clock,
        metrics: UpstreamMetrics | None = None,
    ) -> None:
        self.name: Final = name
        self.capabilities: Final = build_capabilities(options)
        self._options = options
        auth = create_auth(name, options, transport, clock, metrics)
        self._client = ProjectManClient(name, options.base_url, auth, transport, metrics)

    @property
    def state(self) -> ConnectionState:
        """The state that the last exchange showed."""
        return self._client.transport.state

    def scope_of(self, ref: str) -> str:
        """Return the project, the first part."""
        return _parse_ref(ref)[0]

    def natural_key(self, draft: ModuleDraft) -> tuple[str, ...]:
        """Return project and name: a name is unique in its project, for all parents."""
        return (draft.scope, draft.name)

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        """Send CreateProjectModule once; if it is refused without a clear cause, list the project to find it."""
        owner = draft.owners[0] if draft.owners else self._options.default_owner
        document = dump_module(draft.name, owner, draft.description, draft.parent)
        try:
            response = self._client.request("create", "POST", f"{draft.scope}/module", call, document)
        except GatewayError as error:
            refiner = ErrorRefiner(self._client, draft.scope, call)
            raise refiner.refine_create(error, draft.name, draft.parent, owner) from error
        return self._parse_module(response, draft.scope, draft)

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        """List the project's modules and return those with the name; an incomplete list proves nothing."""
        node_filter: NodeFilter = ("module_name", draft.name)
        modules = self._client.list_modules(draft.scope, call, node_filter, must_be_complete=True)
        return tuple(module for module in modules if module.name == draft.name)

    def check_target(self, draft: ModuleDraft, call: CallContext) -> None:
        """List the project's modules; raise ParentNotFound if the parent is not one of them."""
        modules = self._client.list_modules(draft.scope, call)
        if draft.parent is not None and all(module.native_id != draft.parent for module in modules):
            raise ParentNotFound

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: CallContext) -> Page:
        """Return the matching modules of the flattened tree.

        The cursor names the next one by the offset of its page and its index there.
        """
        start_offset, start_index = _parse_cursor(cursor)
        result: list[Module] = []
        for page_offset, modules in self._client.pages(query.scope, call, start_offset):
            for index in range(start_index if page_offset == start_offset else 0, len(modules)):
                if not _matches(modules[index], query):
                    continue
                if len(result) == page_size:
                    return Page(tuple(result), f"{page_offset}.{index}")
                result.append(modules[index])
        return Page(tuple(result), None)

    def get(self, ref: str, call: CallContext) -> Module:
        """List the project's modules up to the page that contains the module; raises ModuleNotFound."""
        project, native_id = _parse_ref(ref)
        for _, modules in self._client.pages(project, call, node_filter=("module_id", native_id)):
            for module in modules:
                if module.native_id == native_id:
                    return module
        raise ModuleNotFound

    def update(self, ref: str, patch: ModulePatch, call: CallContext) -> Module:
        """Read the module, merge the patch and send all fields: an update replaces name, owner and description.

        Raises DescriptionRequired if the patch has no description and ProjectMan is not known to keep one left out.
        """
        _parse_ref(ref)  # a malformed ref is ModuleNotFound, whatever the patch
        if patch.description is UNSET and not self._options.keeps_omitted_description:
            raise DescriptionRequired(errors=[FieldError("/description", "required", message("description_required"))])
        old = self.get(ref, call)
        name = old.name if isinstance(patch.name, Unset) else patch.name
        owner = self._merge_owner(old, patch)
        description = None if isinstance(patch.description, Unset) else patch.description or ""
        path = f"{old.scope}/modules/{old.native_id}"
        try:
            response = self._client.request("update", "PUT", path, call, dump_module(name, owner, description))
        except GatewayError as error:
            refiner = ErrorRefiner(self._client, old.scope, call)
            raise refiner.refine_update(error, old.native_id, name, owner) from error
        new = self._parse_module(response, old.scope)  # without a position in the tree, which the update keeps
        unavailable = tuple(field for field in new.unavailable if field != "depth")
        return replace(new, parent=old.parent, depth=old.depth, has_children=old.has_children, unavailable=unavailable)

    def descendants(self, ref: str, call: CallContext) -> Sequence[str]:
        """List the project's modules and return those below the module; raises ModuleNotFound."""
        project, native_id = _parse_ref(ref)
        _, *descendants = subtree_of(self._client.list_modules(project, call), native_id)
        return [module.ref for module in reversed(descendants)]  # children before parents

    def delete(self, ref: str, call: CallContext) -> None:
        """Send DeleteProjectModule; whether ProjectMan deletes descendants itself is not documented."""
        project, native_id = _parse_ref(ref)
        try:
            response = self._client.request("delete", "DELETE", f"{project}/modules/{native_id}", call)
        except GatewayError as error:
            raise ErrorRefiner(self._client, project, call).refine_delete(error, native_id) from error
        if response.body and not isinstance(response.json(), dict):  # from a proxy, perhaps: it confirms nothing
            raise response.invalid_response("no_deletion")

    def _merge_owner(self, old: Module, patch: ModulePatch) -> str:
        """Return the id of the owner after the patch; raises ValidationFailed if there is none."""
        owners = [owner.id for owner in old.owners] if isinstance(patch.owners, Unset) else patch.owners
        owner = owners[0] if owners else self._options.default_owner
        if not owner:
            raise ValidationFailed(errors=[FieldError("/owners", "required", message("owner_missing"))])
        return owner

    def _parse_module(self, response: UpstreamResponse, project: str, draft: ModuleDraft | None = None) -> Module:
        try:
            return load_module(ModuleSource(self.name, project), response.json(), draft)
        except ValidationError as error:
            raise response.invalid_response("no_module") from error


def _matches(module: Module, query: ModuleQuery) -> bool:
    """Return whether a module has the parent and the name of a query, in which None stands for any."""
    return query.parent in {None, module.parent} and query.name in {None, module.name}


def _parse_ref(ref: str) -> tuple[str, str]:
    """Return the project and the native id in a ref; raises ModuleNotFound if it has another form."""
    match = _REF.fullmatch(ref)
    if match is None or int(match[2]) > INT64_MAX:
        raise ModuleNotFound
    return match[1], match[2]


def _parse_cursor(cursor: str | None) -> tuple[int, int]:
    """Return the offset of a page and an index in it, 0 and 0 without a cursor; raises ValidationFailed."""
    match = _CURSOR.fullmatch(cursor or "0.0")
    if match is None or int(match[1]) % PAGE_SIZE:
        raise ValidationFailed(
            errors=[FieldError("/page_token", "pattern", message("page_token_invalid", value=cursor))]
        )
    return int(match[1]), int(match[2])
