"""The adapter for ProjectMan: our words into theirs and back; what it has no call for is read off the list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.backends.projectman.auth import credentials
from gateway.backends.projectman.capabilities import PROJECT_ID, capabilities
from gateway.backends.projectman.client import PAGE, Client
from gateway.backends.projectman.error_refinement import Diagnosis
from gateway.backends.projectman.options import Options
from gateway.backends.projectman.schemas import Origin, read_module, write
from gateway.backends.projectman.tree import Listed
from gateway.domain.backend import NO_SERVICES, Backend, BackendServices, CallContext, ConnectionState
from gateway.domain.capabilities import INT64_MAX
from gateway.domain.errors import (
    DescriptionRequired,
    FieldError,
    GatewayError,
    ModuleNotEmpty,
    ModuleNotFound,
    OutcomeUnknown,
    ParentNotFound,
    ValidationFailed,
)
from gateway.domain.module import UNSET, Module, ModuleDraft, ModulePatch, ModuleQuery, Page, Unset
from gateway.domain.runtime import Clock
from gateway.transport import UpstreamClient, UpstreamResponse

_REF: Final = re.compile(rf"({PROJECT_ID})\.([1-9][0-9]{{0,18}})", re.ASCII)
_CURSOR: Final = re.compile(r"([0-9]{1,5})\.([0-9]{1,6})", re.ASCII)


def create_backend(name: str, options: Options, clock: Clock, services: BackendServices = NO_SERVICES) -> Backend:
    """Make a connection to ProjectMan in one region."""
    transport = UpstreamClient(options.limits, clock, name, services)
    return ProjectManBackend(name, options, transport, clock)


class ProjectManBackend:
    """ProjectMan; implements Backend. A scope is a project, a parent another module of it."""

    def __init__(self, name: str, options: Options, transport: UpstreamClient, clock: Clock) -> None:
        self.name: Final = name
        self.capabilities: Final = capabilities(options)
        self._options = options
        self._client = Client(name, options.base_url, credentials(name, options, transport, clock), transport)

    @property
    def state(self) -> ConnectionState:
        """Return what the last exchange showed."""
        return self._client.transport.state

    def scope_of(self, ref: str) -> str:
        """Return the project, the first half."""
        return _parse(ref)[0]

    def natural_key(self, draft: ModuleDraft) -> tuple[str, ...]:
        """Return project and name: a name is unique in its project, whatever the parent."""
        return (draft.scope, draft.name)

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        """Send CreateProjectModule once, to the singular path."""
        owner = draft.owners[0] if draft.owners else self._options.default_owner
        document = write(draft.name, owner, draft.description, draft.parent)
        try:
            reply = self._client.ask("create", "POST", f"{draft.scope}/module", call, document)
        except GatewayError as error:
            raise Diagnosis(self._client, draft.scope, call).of_create(
                error, draft.name, draft.parent, owner
            ) from error
        return self._read(reply, draft.scope, draft)

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        """Read the project's modules for the name."""
        listed = self._client.listed(draft.scope, call, ("module_name", draft.name))
        return tuple(each.read() for each in listed if each.name == draft.name)

    def check_target(self, draft: ModuleDraft, call: CallContext) -> None:
        """Read the project's modules for the parent."""
        listed = self._client.listed(draft.scope, call)
        if draft.parent is not None and all(each.native_id != draft.parent for each in listed):
            raise ParentNotFound

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: CallContext) -> Page:
        """Flatten page after page of the tree; the cursor is an offset of theirs and a place on that page."""
        offset, skip = _parse_cursor(cursor)
        found: list[Module] = []
        for at, listed in self._client.pages(query.scope, call, offset):
            for index in range(skip if at == offset else 0, len(listed)):
                if not _matches(listed[index], query):
                    continue
                if len(found) == page_size:
                    return Page(tuple(found), f"{at}.{index}")
                found.append(listed[index].read())
        return Page(tuple(found), None)

    def get(self, ref: str, call: CallContext) -> Module:
        """Read the list up to the module: there is no call that reads one."""
        project, native_id = _parse(ref)
        for _, listed in self._client.pages(project, call, holding=("module_id", native_id)):
            for each in listed:
                if each.native_id == native_id:
                    return each.read()
        raise ModuleNotFound

    def update(self, ref: str, patch: ModulePatch, call: CallContext) -> Module:
        """Read, merge and send the whole: an update replaces name, owner and description."""
        _parse(ref)
        if patch.description is UNSET and not self._options.keeps_omitted_description:
            raise DescriptionRequired(errors=[FieldError("/description", "required", DescriptionRequired.title)])
        old = self.get(ref, call)
        name = old.name if isinstance(patch.name, Unset) else patch.name
        owner = self._owner(old, patch)
        description = None if isinstance(patch.description, Unset) else patch.description or ""
        path = f"{old.scope}/modules/{old.native_id}"
        try:
            reply = self._client.ask("update", "PUT", path, call, write(name, owner, description))
        except GatewayError as error:
            raise Diagnosis(self._client, old.scope, call).of_update(error, old.native_id, name, owner) from error
        new = self._read(reply, old.scope)
        unavailable = tuple(field for field in new.unavailable if field != "depth")
        return replace(new, parent=old.parent, depth=old.depth, has_children=old.has_children, unavailable=unavailable)

    def delete(self, ref: str, *, cascade: bool, call: CallContext) -> Sequence[str]:
        """Delete from the leaves up: whether ProjectMan deletes children itself is not documented."""
        project, native_id = _parse(ref)
        doomed = [each.read() for each in _branch(self._client.listed(project, call), native_id)]
        if len(doomed) > 1 and not cascade:
            raise ModuleNotEmpty("The module has children; cascade=true deletes them too.")
        for done, module in enumerate(reversed(doomed)):
            try:
                self._delete_one(project, module.native_id, call)
            except GatewayError as error:
                if done == 0:
                    raise
                raise OutcomeUnknown(f"{done} of {len(doomed)} modules were deleted; repeat the request.") from error
        return [module.ref for module in doomed]

    def _delete_one(self, project: str, native_id: str, call: CallContext) -> None:
        try:
            reply = self._client.ask("delete", "DELETE", f"{project}/modules/{native_id}", call)
        except GatewayError as error:
            raise Diagnosis(self._client, project, call).of_delete(error, native_id) from error
        if reply.body and not isinstance(reply.json(), dict):
            raise reply.invalid("it confirms no deletion")

    def _owner(self, old: Module, patch: ModulePatch) -> str:
        kept = old.owners[0].id if old.owners else ""
        given = kept if isinstance(patch.owners, Unset) else next(iter(patch.owners or ()), "")
        owner = given or self._options.default_owner
        if not owner:
            raise ValidationFailed(errors=[FieldError("/owners", "required", "The module has no owner to keep.")])
        return owner

    def _read(self, reply: UpstreamResponse, project: str, draft: ModuleDraft | None = None) -> Module:
        try:
            return read_module(Origin(self.name, project), reply.json(), draft)
        except ValueError as error:
            raise reply.invalid("it describes no module") from error


def _branch(listed: list[Listed], native_id: str) -> list[Listed]:
    """Return the module and all below it, parents first; ModuleNotFound where it is not there."""
    branch = [each for each in listed if each.native_id == native_id]
    if not branch:
        raise ModuleNotFound
    for parent in branch:  # grows while it is walked: children behind their parents
        branch += [child for child in listed if child.parent == parent.native_id and child not in branch]
    return branch


def _matches(listed: Listed, query: ModuleQuery) -> bool:
    return query.parent in {None, listed.parent} and query.name in {None, listed.name}


def _parse(ref: str) -> tuple[str, str]:
    """Read our own part of an id; anything else is the id of no module."""
    match = _REF.fullmatch(ref)
    if match is None or int(match[2]) > INT64_MAX:
        raise ModuleNotFound
    return match[1], match[2]


def _parse_cursor(cursor: str | None) -> tuple[int, int]:
    match = _CURSOR.fullmatch(cursor or "0.0")
    if match is None or int(match[1]) % PAGE:
        raise ValidationFailed(errors=[FieldError("/page_token", "pattern", "Is no token of this list.")])
    return int(match[1]), int(match[2])
