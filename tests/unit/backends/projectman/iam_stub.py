"""A stub of IAM and of a service that checks tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from gateway.domain.backend import CallContext
from gateway.domain.errors import GatewayError
from gateway.transport import UpstreamRequest, UpstreamResponse
from tests.conftest import VirtualClock
from tests.unit.backends.projectman.service_stub import ServiceStub

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


class IamStub(ServiceStub):
    """IAM and the service; `respond` returns IAM's response, `valid` decides on tokens."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self.lifetime = 86400.0
        self.issued = 0
        self.iam_requests: list[UpstreamRequest] = []
        self.respond: Callable[[], UpstreamResponse] = self._issue
        self.rejection: tuple[int, Any] = EXPIRED[0]
        self.valid: Callable[[str], bool] = lambda _: True
        self.tokens: list[str] = []
        self.registered_secrets: list[tuple[str, str]] = []

    def register_secret(self, secret: str, *, replaces: str = "") -> None:
        self.registered_secrets.append((secret, replaces))

    def send(self, request: UpstreamRequest, call: CallContext) -> UpstreamResponse:
        if request.url.startswith(IAM):
            self.iam_requests.append(request)
            return self.respond()
        token = request.headers["X-Auth-Token"]
        self.tokens.append(token)
        if self.valid(token):
            return super().send(request, call)
        status, body = self.rejection
        return UpstreamResponse(status, {}, json.dumps(body).encode(), request.is_write)

    def _issue(self) -> UpstreamResponse:
        self.issued += 1
        expires = datetime.fromtimestamp(self._clock.now() + self.lifetime, UTC)
        body = {"token": {"expires_at": expires.isoformat().replace("+00:00", "Z")}}
        return UpstreamResponse(
            201, {"X-Subject-Token": f"token-{self.issued}"}, json.dumps(body).encode(), is_write=False
        )


def response_of(status: int, body: Any = None, **headers: str) -> Callable[[], UpstreamResponse]:
    return lambda: UpstreamResponse(status, headers, json.dumps(body).encode(), is_write=False)


def raising(error: GatewayError) -> Callable[[], UpstreamResponse]:
    def respond() -> UpstreamResponse:
        raise error

    return respond
