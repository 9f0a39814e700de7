"""A double of the service that keeps what it was asked."""

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
    """Stands in for transport and service: lists `nodes`, has `members`, refuses a write as `refusal` says."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    members: list[str] = field(default_factory=lambda: [OWNER])
    refusal: tuple[int, Any] | None = None
    failing: Callable[[UpstreamRequest], GatewayError | None] = lambda _: None
    ignores_offset: bool = False
    asked: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    state: ConnectionState = "reachable"

    def send(self, request: UpstreamRequest, _: CallContext) -> UpstreamResponse:
        path = request.url.partition("/v4/projects/")[2]
        self.asked.append(f"{request.method} {path.replace(PROJECT, 'P')}")
        self.bodies.append(json.loads(request.body) if request.body else None)
        if (error := self.failing(request)) is not None:
            raise error
        if "/members?" in path:
            members = [{"user_id": each} for each in self._page(path, self.members)]
            return self._reply({"total": len(self.members), "members": members})
        if "/modules?" in path:
            return self._reply({"total": len(self.nodes), "modules": self._page(path, self.nodes)})
        if self.refusal is not None:
            status, body = self.refusal
            return UpstreamResponse(status, {}, b"" if body is None else json.dumps(body).encode(), request.is_write)
        if request.method == "DELETE":
            return UpstreamResponse(204, {}, b"", request.is_write)
        return self._reply({"module_id": 46691, "module_name": "demo", "owner": {"user_id": OWNER}}, writes=True)

    @property
    def writes(self) -> list[str]:
        return [line for line in self.asked if not line.startswith("GET")]

    def _page(self, path: str, listed: Sequence[Any]) -> Sequence[Any]:
        query = dict(pair.split("=") for pair in path.partition("?")[2].split("&"))
        offset, limit = int(query["offset"]), int(query["limit"])
        assert offset % limit == 0  # documented: projectman.md §1
        assert offset <= 10_000
        return listed[:limit] if self.ignores_offset else listed[offset : offset + limit]

    def _reply(self, document: Any, *, writes: bool = False) -> UpstreamResponse:
        return UpstreamResponse(200, {}, json.dumps(document).encode(), writes)
