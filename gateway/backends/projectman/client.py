"""ProjectMan's calls: authorized, and their errors mapped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from marshmallow import Schema, ValidationError

from gateway import json_codec
from gateway.backends.projectman.auth import Authorize, UpstreamAuth
from gateway.backends.projectman.errors import ERRORS, contains_error, parse_failure
from gateway.backends.projectman.schemas import ModuleSource
from gateway.backends.projectman.tree import NodeFilter, count_nodes, filter_subtrees, flatten_tree, top_level_ids
from gateway.domain.backend import CallContext
from gateway.domain.error_mapping import UpstreamFailure
from gateway.domain.lookup import LookupItem
from gateway.domain.module import Module
from gateway.domain.telemetry import UpstreamMetrics
from gateway.transport import UpstreamClient, UpstreamRequest, UpstreamResponse

#: The documented maximum is 100 in old versions and 1000 in new ones; an offset must be a multiple of the limit.
PAGE_SIZE: Final = 100
_MAX_OFFSET: Final = 10_000
#: The API gateway's response to a wrong signature repeats these headers of the request; they must not be logged.
_SECRET_HEADERS: Final = ("X-Auth-Token", "X-Security-Token", "Authorization")


class ModulePage(NamedTuple):
    """One page of a project's modules, flattened."""

    offset: int
    modules: list[Module]
    is_last: bool


@dataclass(frozen=True, slots=True)
class ProjectManClient:
    """Sends the requests of one connection; raises GatewayErrors only."""

    name: str
    base_url: str
    auth: UpstreamAuth
    transport: UpstreamClient
    metrics: UpstreamMetrics | None = None

    def request(
        self, operation: str, method: str, path: str, call: CallContext, document: Mapping[str, Any] | None = None
    ) -> UpstreamResponse:
        """Send one request, again if its authorization was refused; return the response, or raise its error."""
        url = f"{self.base_url}/v4/projects{path if path.startswith('?') else f'/{path}'}"
        body = None if document is None else json_codec.dumps(document)

        def exchange(authorize: Authorize) -> UpstreamResponse:
            headers = authorize(method, url, body or b"")
            request = UpstreamRequest(
                method=method,
                url=url,
                headers={**headers, "X-Request-Id": call.request_id},
                body=body,
                is_write=method != "GET",
            )
            response = self.transport.send(request, call)
            if response.ok and not contains_error(response.json()):
                return response
            failure = _without_secrets(parse_failure(response, self.name, operation), headers)
            raise ERRORS.to_error(failure, self.metrics, response.log_fields)

        return self.auth.run(exchange, call)

    def pages(
        self,
        project: str,
        call: CallContext,
        offset: int = 0,
        node_filter: NodeFilter | None = None,
        *,
        must_be_complete: bool = False,
    ) -> Iterator[ModulePage]:
        """Yield the pages with their flattened modules, from `offset` on, which is a multiple of PAGE_SIZE.

        With a filter, only the top-level nodes that match it are loaded. A module on several pages is yielded once.
        Raises BackendReplyInvalid for a page that contains anything but modules, and with `must_be_complete` if the
        pages have fewer modules than the total.
        """
        source = ModuleSource(self.name, project)
        seen_ids: set[str] = set()
        seen_top_ids: set[str] = set()
        node_count = 0
        while offset <= _MAX_OFFSET:
            response = self.request("list", "GET", f"{project}/modules?limit={PAGE_SIZE}&offset={offset}", call)
            nodes, total = _parse_page(response, "modules", offset)
            try:
                modules = flatten_tree(source, filter_subtrees(nodes, node_filter))
            except ValidationError as error:
                raise response.invalid_response("no_module") from error
            new_modules: dict[str, Module] = {}
            for module in modules:
                if module.native_id not in seen_ids:
                    new_modules.setdefault(module.native_id, module)
            page_ids, node_count = top_level_ids(nodes), node_count + count_nodes(nodes)
            # The total counts the top level or all modules; in both cases it is not less than the top level.
            is_last = _is_last_page(nodes, total, offset) or page_ids <= seen_top_ids  # the service ignores the offset
            yield ModulePage(offset, list(new_modules.values()), is_last)
            seen_top_ids |= page_ids
            seen_ids.update(new_modules)
            offset += PAGE_SIZE
            if is_last:
                if must_be_complete and isinstance(total, int) and node_count < total:
                    raise response.invalid_response("no_modules")
                return

    def list_modules(
        self,
        project: str,
        call: CallContext,
        node_filter: NodeFilter | None = None,
        *,
        must_be_complete: bool = False,
    ) -> list[Module]:
        """Return all modules of a project, or those in the top-level nodes that match the filter."""
        pages = self.pages(project, call, node_filter=node_filter, must_be_complete=must_be_complete)
        return [module for page in pages for module in page.modules]

    def items(
        self, key: str, path: str, schema: Schema, call: CallContext, offset: int = 0
    ) -> Iterator[tuple[int, list[LookupItem], bool]]:
        """Yield the offset and the items of each page of a flat list, and whether it is the last one."""
        last_items: list[Any] | None = None
        while offset <= _MAX_OFFSET:
            response = self.request(key, "GET", f"{path}?limit={PAGE_SIZE}&offset={offset}", call)
            page, total = _parse_page(response, key, offset)
            is_last = _is_last_page(page, total, offset) or page == last_items  # the service ignores the offset
            try:
                items: list[LookupItem] = schema.load(page, many=True)
            except ValidationError as error:
                raise response.invalid_response(f"no_{key}") from error
            yield offset, items, is_last
            if is_last:
                return
            offset, last_items = offset + PAGE_SIZE, page

    def member_ids(self, project: str, call: CallContext) -> set[str]:
        """Return the user ids of a project's members."""
        user_ids: set[str] = set()
        for offset in range(0, _MAX_OFFSET, PAGE_SIZE):
            response = self.request("members", "GET", f"{project}/members?limit={PAGE_SIZE}&offset={offset}", call)
            members, _ = _parse_page(response, "members", offset)
            new_ids = {str(member.get("user_id")) for member in members if isinstance(member, dict)} - user_ids
            user_ids |= new_ids
            if len(members) < PAGE_SIZE or not new_ids:
                break
        return user_ids


def _is_last_page(items: Sequence[Any], total: Any, offset: int) -> bool:
    """Return whether no page follows the one at `offset`: it is short, or reaches the total or the largest offset."""
    next_offset = offset + PAGE_SIZE
    return len(items) < PAGE_SIZE or next_offset > _MAX_OFFSET or (isinstance(total, int) and next_offset >= total)


def _parse_page(response: UpstreamResponse, key: str, offset: int) -> tuple[list[Any], Any]:
    """Return the list in the page at `offset`, and its total.

    An empty list may be left out if the total is 0. It may be null too, but not on the first page with a total, which
    then has elements.
    """
    body = response.json()
    page: Mapping[str, Any] = body if isinstance(body, dict) else {}
    items, total = page.get(key), page.get("total")
    null_means_empty = key in page and (not total or offset > 0)
    if items is None and (total == 0 or null_means_empty):
        items = []
    if not isinstance(items, list):
        raise response.invalid_response(f"no_{key}")
    return items, total


def _without_secrets(failure: UpstreamFailure, request_headers: Mapping[str, str]) -> UpstreamFailure:
    """Mask credentials that the API gateway's response repeats."""
    message = failure.message
    for secret in filter(None, map(request_headers.get, _SECRET_HEADERS)):
        message = message.replace(secret, "…")
    return replace(failure, message=message)
