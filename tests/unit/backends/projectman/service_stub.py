"""A stub of the service that records its requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.domain.backend import CallContext, ConnectionState
from gateway.domain.errors import GatewayError
from gateway.domain.module import ModuleDraft
from gateway.transport import UpstreamRequest, UpstreamResponse
from tests.unit.backends.connections import OWNER, PM_NODE, PROJECT

BASE: Final = "https://projectman-ext.example.com"


DRAFT: Final = ModuleDraft(scope=PROJECT, parent=None, name="demo", owners=(OWNER,))


def node(number: int, *children: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the node of a list; documented: projectman.md §2."""
    return {**PM_NODE, "module_id": number, "module_name": f"m{number}", "children": [*children], **changes}


@dataclass
class ServiceStub:
    """A transport and service in one: lists `nodes` and `members`, and returns `refusal` to a write if it is set."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    members: list[str] = field(default_factory=lambda: [OWNER])
    refusal: tuple[int, Any] | None = None
    fail: Callable[[UpstreamRequest], GatewayError | None] = lambda _: None
    ignores_offset: bool = False
    requests: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    state: ConnectionState = "reachable"

    def send(self, request: UpstreamRequest, _: CallContext) -> UpstreamResponse:
        path = request.url.partition("/v4/projects/")[2]
        self.requests.append(f"{request.method} {path.replace(PROJECT, 'P')}")
        self.bodies.append(json.loads(request.body) if request.body else None)
        if (error := self.fail(request)) is not None:
            raise error
        if "/members?" in path:
            members = [{"user_id": user_id} for user_id in self._page(path, self.members)]
            return self._respond({"total": len(self.members), "members": members})
        if "/modules?" in path:
            return self._respond({"total": len(self.nodes), "modules": self._page(path, self.nodes)})
        if self.refusal is not None:
            status, body = self.refusal
            return UpstreamResponse(status, {}, b"" if body is None else json.dumps(body).encode(), request.is_write)
        if request.method == "DELETE":
            return UpstreamResponse(204, {}, b"", request.is_write)
        return self._respond({"module_id": 46691, "module_name": "demo", "owner": {"user_id": OWNER}}, writes=True)

    @property
    def writes(self) -> list[str]:
        return [line for line in self.requests if not line.startswith("GET")]

    def _page(self, path: str, items: Sequence[Any]) -> Sequence[Any]:
        query = dict(pair.split("=") for pair in path.partition("?")[2].split("&"))
        offset, limit = int(query["offset"]), int(query["limit"])
        assert offset % limit == 0  # documented: projectman.md §1
        assert offset <= 10_000
        return items[:limit] if self.ignores_offset else items[offset : offset + limit]

    def _respond(self, document: Any, *, writes: bool = False) -> UpstreamResponse:
        return UpstreamResponse(200, {}, json.dumps(document).encode(), writes)
