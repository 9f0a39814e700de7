"""ProjectMan's four calls: authorized, repeated once where a token had expired, their refusals read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway import json_codec
from gateway.backends.projectman.auth import Credentials
from gateway.backends.projectman.errors import ERRORS, EXPIRED, WRITES, has_code, read_fault
from gateway.backends.projectman.schemas import Origin
from gateway.backends.projectman.tree import Holding, Listed, branches, list_tree, name_tops
from gateway.domain.backend import CallContext
from gateway.domain.error_mapping import UpstreamFailure
from gateway.transport import UpstreamClient, UpstreamRequest, UpstreamResponse

#: The documentation says at most 100 in old versions, 1000 in new ones; an offset must be a multiple of it.
PAGE: Final = 100
_LAST_OFFSET: Final = 10_000
#: A refused signature is answered with the whole request as the gateway in front saw it; these must not be logged.
_SECRET_HEADERS: Final = ("X-Auth-Token", "X-Security-Token", "Authorization")


@dataclass(frozen=True, slots=True)
class Client:
    """One connection's way to the service; raises GatewayErrors and nothing else."""

    name: str
    base_url: str
    credentials: Credentials
    transport: UpstreamClient

    def ask(
        self, operation: str, method: str, path: str, call: CallContext, document: Mapping[str, Any] | None = None
    ) -> UpstreamResponse:
        """Send one request and return its reply of success."""
        url = f"{self.base_url}/v4/projects/{path}"
        body = None if document is None else json_codec.write(document)
        repeated = False
        while True:
            headers = self.credentials.headers(method, url, body or b"", call)
            request = UpstreamRequest(
                method=method,
                url=url,
                headers={**headers, "X-Request-Id": call.request_id},
                body=body,
                is_write=operation in WRITES,
            )
            reply = self.transport.send(request, call)
            if reply.ok and not has_code(reply.json()):
                return reply
            fault = _redacted(read_fault(reply, self.name, operation), headers)
            # The gateway in front refused it: the service never saw the request, so a write may go out again.
            if repeated or EXPIRED.isdisjoint(fault.lookup_keys()) or not self.credentials.renew(headers, call):
                raise ERRORS.to_error(fault)
            repeated = True

    def pages(
        self, project: str, call: CallContext, offset: int = 0, holding: Holding | None = None
    ) -> Iterator[tuple[int, list[Listed]]]:
        """Yield the pages of a project's tree, flattened, each with its offset, from an aligned offset on.

        A page that shows anything but modules is refused as a whole, but none of them is read here: few of a hundred
        are asked for. With `holding`, only the branches that hold what is looked for are listed.
        """
        origin = Origin(self.name, project)
        seen: set[str] = set()
        tops: set[str] = set()
        while offset <= _LAST_OFFSET:
            reply = self.ask("list", "GET", f"{project}/modules?limit={PAGE}&offset={offset}", call)
            nodes, total = _array(reply, "modules")
            new: dict[str, Listed] = {}
            try:
                for each in list_tree(origin, branches(nodes, holding)):
                    if each.native_id not in seen and each.native_id not in new:
                        new[each.native_id] = each
            except ValueError as error:
                raise reply.invalid("it describes no module") from error
            yield offset, list(new.values())
            # The total is of the top level or of all modules: either way no more than this are to come.
            if len(nodes) < PAGE or (isinstance(total, int) and offset + PAGE >= total):
                return
            known = len(tops)
            tops |= name_tops(nodes)
            if len(tops) == known:
                return
            seen.update(new)
            offset += PAGE

    def listed(self, project: str, call: CallContext, holding: Holding | None = None) -> list[Listed]:
        """Return all modules of a project, or those of the branches that hold what is looked for; none is read."""
        return [each for _, page in self.pages(project, call, holding=holding) for each in page]

    def member_ids(self, project: str, call: CallContext) -> set[str]:
        """Return the user ids of a project's members."""
        found: set[str] = set()
        for offset in range(0, _LAST_OFFSET, PAGE):
            reply = self.ask("members", "GET", f"{project}/members?limit={PAGE}&offset={offset}", call)
            members, _ = _array(reply, "members")
            new = {str(member.get("user_id")) for member in members if isinstance(member, dict)} - found
            found |= new
            if len(members) < PAGE or not new:
                break
        return found


def _array(reply: UpstreamResponse, key: str) -> tuple[list[Any], Any]:
    """Return what a page lists, and how many it says there are."""
    body = reply.json()
    listed = body.get(key) if isinstance(body, dict) else None
    if not isinstance(listed, list):
        raise reply.invalid(f"it lists no {key}")
    return listed, body.get("total")


def _redacted(fault: UpstreamFailure, headers: Mapping[str, str]) -> UpstreamFailure:
    message = fault.message
    for secret in filter(None, map(headers.get, _SECRET_HEADERS)):
        message = message.replace(secret, "…")
    return replace(fault, message=message)
