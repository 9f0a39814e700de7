"""ProjectMan's calls: authorized, sent again once if a token has expired, and their errors mapped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from marshmallow import ValidationError

from gateway import json_codec
from gateway.backends.projectman.auth import UpstreamAuth
from gateway.backends.projectman.errors import ERRORS, TOKEN_EXPIRED, contains_error, parse_failure
from gateway.backends.projectman.schemas import ModuleSource
from gateway.backends.projectman.tree import NodeFilter, count_nodes, filter_subtrees, flatten_tree, top_level_ids
from gateway.domain.backend import CallContext
from gateway.domain.error_mapping import UpstreamFailure
from gateway.domain.module import Module
from gateway.domain.telemetry import UpstreamMetrics
from gateway.transport import UpstreamClient, UpstreamRequest, UpstreamResponse

#: The documented maximum is 100 in old versions and 1000 in new ones; an offset must be a multiple of the limit.
PAGE_SIZE: Final = 100
_MAX_OFFSET: Final = 10_000
#: The API gateway's response to a wrong signature repeats these headers of the request; they must not be logged.
_SECRET_HEADERS: Final = ("X-Auth-Token", "X-Security-Token", "Authorization")


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
        """Send one request, again if its token has expired; return the response, or raise the error that it means."""
        url = f"{self.base_url}/v4/projects/{path}"
        body = None if document is None else json_codec.dumps(document)
        is_repeat = False
        while True:
            headers = self.auth.headers(method, url, body or b"", call)
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
            # The API gateway rejected the token before the service received the request: a write can be sent again.
            is_token_expired = not TOKEN_EXPIRED.isdisjoint(failure.lookup_keys())
            if is_repeat or not is_token_expired or not self.auth.refresh_rejected(headers, call):
                raise ERRORS.to_error(failure, self.metrics, response.log_fields)
            is_repeat = True

    def pages(
        self,
        project: str,
        call: CallContext,
        offset: int = 0,
        node_filter: NodeFilter | None = None,
        *,
        must_be_complete: bool = False,
    ) -> Iterator[tuple[int, list[Module]]]:
        """Yield the offset and the flattened modules of each page, from `offset` on, which is a multiple of PAGE_SIZE.

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
            yield offset, list(new_modules.values())
            page_ids, node_count = top_level_ids(nodes), node_count + count_nodes(nodes)
            is_repetition = page_ids <= seen_top_ids  # the service ignores the offset
            seen_top_ids |= page_ids
            seen_ids.update(new_modules)
            offset += PAGE_SIZE
            # The total counts the top level or all modules; in both cases it is not less than the top level.
            is_last = len(nodes) < PAGE_SIZE or (isinstance(total, int) and offset >= total)
            if is_last or is_repetition or offset > _MAX_OFFSET:
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
        return [module for _, page in pages for module in page]

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
