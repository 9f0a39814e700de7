"""IAM and the service, as far as tokens go."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from gateway.domain.errors import (
    GatewayError,
)
from gateway.domain.ports import Call
from gateway.transport import Reply, Request
from tests.backends.projectman.service import Service
from tests.conftest import VirtualClock

IAM: Final = "https://iam.example.com"


#: documented: projectman.md §3a and §4c: what means that a token's time is over
EXPIRED: Final = [
    (401, {"error_code": "APIGW.0307", "error_msg": "The token must be updated.", "request_id": "r"}),
    (401, {"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information: token expires"}),
    (401, {"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information: decrypt token fail"}),
    (401, {"error_code": "APIG.0307", "error_msg": "The token must be updated."}),
    (400, {"error_code": "PM.10001002", "error_msg": "不合法的token"}),
]


#: documented: the same: what a new token would not help
NOT_EXPIRED: Final = [
    (401, {"error_code": "APIGW.0301", "error_msg": "x-auth-token not found"}),
    (401, {"error_code": "APIGW.0301", "error_msg": "verify aksk signature fail"}),
    (401, {"error_code": "APIGW.0303", "error_msg": "m"}),
    (403, {"error_code": "APIGW.0302", "error_msg": "m"}),
    (401, None),
]


class Cloud(Service):
    """IAM and the service; `answer` is what IAM says, `valid` decides on tokens."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self.lifetime = 86400.0
        self.issued = 0
        self.iam: list[Request] = []
        self.answer: Callable[[], Reply] = self._issue
        self.rejection: tuple[int, Any] = EXPIRED[0]
        self.valid: Callable[[str], bool] = lambda _: True
        self.tokens: list[str] = []
        self.hidden: list[tuple[str, str]] = []

    def hide(self, secret: str, *, instead_of: str = "") -> None:
        self.hidden.append((secret, instead_of))

    def send(self, request: Request, call: Call) -> Reply:
        if request.url.startswith(IAM):
            self.iam.append(request)
            return self.answer()
        token = request.headers["X-Auth-Token"]
        self.tokens.append(token)
        if self.valid(token):
            return super().send(request, call)
        status, body = self.rejection
        return Reply(status, {}, json.dumps(body).encode(), request.writes)

    def _issue(self) -> Reply:
        self.issued += 1
        expires = datetime.fromtimestamp(self._clock.now() + self.lifetime, UTC)
        body = {"token": {"expires_at": expires.isoformat().replace("+00:00", "Z")}}
        return Reply(201, {"X-Subject-Token": f"token-{self.issued}"}, json.dumps(body).encode(), writes=False)


def says(status: int, body: Any = None, **headers: str) -> Callable[[], Reply]:
    return lambda: Reply(status, headers, json.dumps(body).encode(), writes=False)


def fails(error: GatewayError) -> Callable[[], Reply]:
    def answer() -> Reply:
        raise error

    return answer
