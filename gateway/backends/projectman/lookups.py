"""Lookups in ProjectMan: projects are scopes, modules are parents, the members of a project are owners.

Names are compared here: the service's own search of projects is fuzzy and reads descriptions too. Archived projects are
listed as the service lists them: the documentation contradicts itself about its parameter `archive`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from gateway.backends.projectman.capabilities import MAX_LEVELS
from gateway.backends.projectman.client import PAGE_SIZE, ProjectManClient
from gateway.backends.projectman.schemas import MemberSchema, ProjectSchema
from gateway.domain.backend import CallContext
from gateway.domain.errors import FieldError, LimitExceeded, ValidationFailed
from gateway.domain.lookup import PATH_SEPARATOR, LookupBatch, LookupItem, LookupPage, LookupQuery, take_page
from gateway.domain.messages import message
from gateway.domain.module import Module

_CURSOR: Final = re.compile(r"([0-9]{1,5})\.([0-9]{1,6})", re.ASCII)
_PROJECTS: Final = ProjectSchema()
_MEMBERS: Final = MemberSchema()
#: The offset of a page, its items, and whether it is the last one.
_ItemPages = Iterator[tuple[int, list[LookupItem], bool]]


def lookup(
    client: ProjectManClient, query: LookupQuery, page_size: int, cursor: str | None, call: CallContext
) -> LookupPage:
    """Return one page of projects, modules or members; the cursor is that of a list of modules."""
    offset, index = parse_cursor(cursor)
    modules: list[Module] = []
    pages: _ItemPages
    if query.kind == "scopes":
        pages = client.items("projects", "", _PROJECTS, call, offset)
    elif query.kind == "owners":
        pages = client.items("members", f"{query.scope}/members", _MEMBERS, call, offset)
    else:
        pages = _parents(client, query.scope, call, offset, modules)
    page = take_page(_batches(pages, index), query, page_size)
    return replace(page, modules=tuple(modules))


def parse_cursor(cursor: str | None) -> tuple[int, int]:
    """Return the offset of a page and an index in it, 0 and 0 without a cursor; raises ValidationFailed."""
    match = _CURSOR.fullmatch(cursor or "0.0")
    if match is None or int(match[1]) % PAGE_SIZE:
        raise ValidationFailed(errors=[FieldError("/page_token", "pattern", message("page_token_invalid"))])
    return int(match[1]), int(match[2])


def _batches(pages: _ItemPages, index: int) -> Iterator[LookupBatch]:
    """Yield the items of each page, in the first one from `index` on."""
    for offset, items, is_last in pages:
        positions = [(f"{offset}.{number}", item) for number, item in enumerate(items)]
        yield LookupBatch(positions[index:], None if is_last else f"{offset + PAGE_SIZE}.0")
        index = 0


def _parents(client: ProjectManClient, project: str, call: CallContext, offset: int, seen: list[Module]) -> _ItemPages:
    """Yield the modules of each page with their paths, and add them to `seen`."""
    for page in client.pages(project, call, offset):
        seen += page.modules
        paths: dict[str | None, str] = {}
        for module in page.modules:  # parents before children
            above = paths.get(module.parent)
            paths[module.native_id] = module.name if above is None else f"{above}{PATH_SEPARATOR}{module.name}"
        yield page.offset, [_parent(module, paths[module.native_id]) for module in page.modules], page.is_last


def _parent(module: Module, path: str) -> LookupItem:
    is_lowest = module.depth is not None and module.depth >= MAX_LEVELS
    return LookupItem(id=module.native_id, name=module.name, path=path, why=LimitExceeded.code if is_lowest else None)
