"""ProjectMan's four calls: authorized, repeated once where a token had expired, their refusals read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.backends.projectman.credentials import Credentials
from gateway.backends.projectman.errors import ERRORS, EXPIRED, WRITES, has_code, read_fault
from gateway.backends.projectman.wire import Holding, Origin, branches, name_top, read_tree
from gateway.domain.faults import Fault
from gateway.domain.module import Module
from gateway.domain.ports import Call
from gateway.transport import Reply, Request, Transport

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
    transport: Transport

    def ask(
        self, operation: str, method: str, path: str, call: Call, document: Mapping[str, Any] | None = None
    ) -> Reply:
        """Send one request and return its reply of success."""
        url = f"{self.base_url}/v4/projects/{path}"
        body = None if document is None else json.dumps(document, ensure_ascii=False).encode()
        repeated = False
        while True:
            headers = self.credentials.headers(method, url, body or b"", call)
            request = Request(
                method=method,
                url=url,
                headers={**headers, "X-Request-Id": call.request_id},
                body=body,
                writes=operation in WRITES,
            )
            reply = self.transport.send(request, call)
            if reply.ok and not has_code(reply.json()):
                return reply
            fault = _redacted(read_fault(reply, self.name, operation), headers)
            # The gateway in front refused it: the service never saw the request, so a write may go out again.
            if repeated or EXPIRED.isdisjoint(fault.keys()) or not self.credentials.renew(headers, call):
                raise ERRORS.error(fault)
            repeated = True

    def pages(
        self, project: str, call: Call, offset: int = 0, holding: Holding | None = None
    ) -> Iterator[tuple[int, list[Module]]]:
        """Yield the pages of a project's tree, flattened, each with its offset, from an aligned offset on.

        With `holding`, only of those branches that hold what is looked for: reading a page of a hundred modules for
        one of them costs ten times what fetching it does.
        """
        seen: set[str] = set()
        tops: set[str] = set()
        while offset <= _LAST_OFFSET:
            reply = self.ask("list", "GET", f"{project}/modules?limit={PAGE}&offset={offset}", call)
            body = reply.json()
            nodes = body.get("modules") if isinstance(body, dict) else None
            if not isinstance(nodes, list):
                raise reply.invalid("it lists no modules")
            modules: list[Module] = []
            known = len(tops)
            tops.update(name_top(node) for node in nodes)
            try:
                for module in read_tree(Origin(self.name, project), branches(nodes, holding)):
                    if module.native_id not in seen:
                        seen.add(module.native_id)
                        modules.append(module)
            except ValueError as error:
                raise reply.invalid("it describes no module") from error
            yield offset, modules
            total = body.get("total")  # of the top level or of all modules: either way no more than this are to come
            if len(tops) == known or len(nodes) < PAGE or (isinstance(total, int) and offset + PAGE >= total):
                return
            offset += PAGE

    def modules(self, project: str, call: Call, holding: Holding | None = None) -> list[Module]:
        """Return all modules of a project, or those of the branches that hold what is looked for."""
        return [module for _, page in self.pages(project, call, holding=holding) for module in page]

    def member_ids(self, project: str, call: Call) -> set[str]:
        """Return the user ids of a project's members."""
        found: set[str] = set()
        for offset in range(0, _LAST_OFFSET, PAGE):
            reply = self.ask("members", "GET", f"{project}/members?limit={PAGE}&offset={offset}", call)
            body = reply.json()
            members = body.get("members") if isinstance(body, dict) else None
            if not isinstance(members, list):
                raise reply.invalid("it lists no members")
            new = {str(member.get("user_id")) for member in members if isinstance(member, dict)} - found
            found |= new
            if len(members) < PAGE or not new:
                break
        return found


def _redacted(fault: Fault, headers: Mapping[str, str]) -> Fault:
    message = fault.message
    for secret in filter(None, map(headers.get, _SECRET_HEADERS)):
        message = message.replace(secret, "…")
    return replace(fault, message=message)
