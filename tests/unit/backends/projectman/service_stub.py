"""Stubs that record their requests: of the service, and of IAM with a service that checks tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from gateway.domain.backend import CallContext, ConnectionState
from gateway.domain.errors import GatewayError
from gateway.domain.module import ModuleDraft
from gateway.transport import UpstreamRequest, UpstreamResponse
from tests.conftest import VirtualClock
from tests.unit.backends.connections import OWNER, PM_NODE, PROJECT

BASE: Final = "https://projectman-ext.example.com"
DRAFT: Final = ModuleDraft(scope=PROJECT, parent=None, name="demo", owners=(OWNER,))
IAM: Final = "https://iam.example.com"
#: documented: projectman.md §3a and §4c: the responses to an expired token
EXPIRED: Final = [
    (401, {"error_code": "APIGW.0307", "error_msg": "The token must be updated.", "request_id": "r"}),
    (401, {"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information: token expires"}),
    (401, {"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information: decrypt token fail"}),
    (401, {"error_code": "APIG.0307", "error_msg": "The token must be updated."}),
    (400, {"error_code": "PM.10001002", "error_msg": "不合法的token"}),
]
#: documented: the same: the responses that a new token would not change
NOT_EXPIRED: Final = [
    (401, {"error_code": "APIGW.0301", "error_msg": "x-auth-token not found"}),
    (401, {"error_code": "APIGW.0301", "error_msg": "verify aksk signature fail"}),
    (401, {"error_code": "APIGW.0303", "error_msg": "m"}),
    (403, {"error_code": "APIGW.0302", "error_msg": "m"}),
    (401, None),
]


def node(number: int, *children: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the node of a list; documented: projectman.md §2."""
    return {**PM_NODE, "module_id": number, "module_name": f"m{number}", "children": [*children], **changes}


@dataclass
class ServiceStub:
    """A transport and service in one: lists `projects`, `nodes` and `members`; a set `refusal` answers every write."""

    projects: list[Any] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    members: list[Any] = field(default_factory=lambda: [OWNER])
    refusal: tuple[int, Any] | None = None
    fail: Callable[[UpstreamRequest], GatewayError | None] = lambda _: None
    has_total: bool = True  # of modules
    ignores_offset: bool = False
    requests: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    state: ConnectionState = "reachable"

    def send(self, request: UpstreamRequest, _: CallContext) -> UpstreamResponse:
        path = request.url.partition("/v4/projects")[2].removeprefix("/")
        self.requests.append(f"{request.method} {path.replace(PROJECT, 'P')}")
        self.bodies.append(json.loads(request.body) if request.body else None)
        if (error := self.fail(request)) is not None:
            raise error
        if path.startswith("?"):
            return respond(200, {"total": len(self.projects), "projects": self._page(path, self.projects)})
        if "/members?" in path:
            page = self._page(path, self.members)
            members = [{"user_id": member} if isinstance(member, str) else member for member in page]
            return respond(200, {"total": len(self.members), "members": members})
        if "/modules?" in path:
            total = len(self.nodes) if self.has_total else None
            return respond(200, {"total": total, "modules": self._page(path, self.nodes)})
        if self.refusal is not None:
            return respond(*self.refusal, is_write=request.is_write)
        if request.method == "DELETE":
            return respond(204, None, is_write=True)
        created = {"module_id": 46691, "module_name": "demo", "owner": {"user_id": OWNER}}
        return respond(200, created, is_write=True)

    @property
    def writes(self) -> list[str]:
        return [line for line in self.requests if not line.startswith("GET")]

    def _page(self, path: str, items: Sequence[Any]) -> Sequence[Any]:
        query = dict(pair.split("=") for pair in path.partition("?")[2].split("&"))
        offset, limit = int(query["offset"]), int(query["limit"])
        assert offset % limit == 0  # documented: projectman.md §1
        assert offset <= 10_000
        return items[:limit] if self.ignores_offset else items[offset : offset + limit]


@dataclass
class IamStub(ServiceStub):
    """IAM and the service; `answer` replaces IAM's response, `valid` decides on tokens."""

    clock: VirtualClock = field(kw_only=True)
    lifetime: float = 86400.0
    issued: int = 0
    iam_requests: list[UpstreamRequest] = field(default_factory=list)
    answer: Callable[[], UpstreamResponse] | None = None
    rejection: tuple[int, Any] = EXPIRED[0]
    valid: Callable[[str], bool] = lambda _: True
    tokens: list[str] = field(default_factory=list)

    def register_secret(self, secret: str, *, replaces: str = "") -> None:
        """Do nothing: what is logged is tested with the real transport."""

    def send(self, request: UpstreamRequest, call: CallContext) -> UpstreamResponse:
        if request.url.startswith(IAM):
            self.iam_requests.append(request)
            return (self.answer or self.issue)()
        self.tokens.append(request.headers["X-Auth-Token"])
        if self.valid(self.tokens[-1]):
            return super().send(request, call)
        return respond(*self.rejection, is_write=request.is_write)

    def issue(self) -> UpstreamResponse:
        self.issued += 1
        expires = datetime.fromtimestamp(self.clock.now() + self.lifetime, UTC)
        body = {"token": {"expires_at": expires.isoformat().replace("+00:00", "Z")}}
        return respond(201, body, {"X-Subject-Token": f"token-{self.issued}"})


def respond(
    status: int, body: Any = None, headers: Mapping[str, str] | None = None, *, is_write: bool = False
) -> UpstreamResponse:
    return UpstreamResponse(status, headers or {}, b"" if body is None else json.dumps(body).encode(), is_write)
