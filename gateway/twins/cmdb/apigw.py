"""The API gateway in front of CMDB: its own refusals with real statuses, CMDB's answers with keys renamed.

Source: facts, sections 0, 1(b) and 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final

from gateway.twins.cmdb.apiserver import Apiserver, Reply, Request, find
from gateway.twins.cmdb.credentials import Flaw, identify, read_header
from gateway.twins.cmdb.seed import Seed
from gateway.twins.cmdb.store import Caller

RENAMED: Final = {"bk_error_code": "code", "bk_error_msg": "message"}
REASONS: Final[dict[Flaw, str]] = {
    Flaw.HEADER: "request header X-Bkapi-Authorization is not a valid JSON",
    Flaw.APP_MISSING: "app code cannot be empty",
    Flaw.SECRET_MISSING: "please provide bk_app_secret or bk_signature to verify app",
    Flaw.APP_UNKNOWN: "bk_app_code or bk_app_secret is incorrect",
    Flaw.SECRET_WRONG: "bk_app_code or bk_app_secret is incorrect",
    Flaw.TOKEN_WRONG: "user authentication failed, please provide a valid user identity",
}


@dataclass(frozen=True)
class GatewayError:
    """A refusal of the gateway itself: HTTP status, code, its name and text."""

    status: int
    code: int
    name: str
    message: str

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers by which clients know that the gateway, not the backend, has answered."""
        return {"X-Bkapi-Error-Code": str(self.code), "X-Bkapi-Error-Message": self.message}

    @property
    def body(self) -> dict[str, Any]:
        """Return the gateway's envelope."""
        return {
            "code_name": self.name,
            "code": self.code,
            "message": self.message,
            "result": False,
            "data": None,
        }


def invalid_arguments(reason: str) -> GatewayError:
    """Return what wrong credentials are answered with: a 400, not a 401."""
    text = f'Parameters error [reason="{reason}"]'
    return GatewayError(HTTPStatus.BAD_REQUEST, 1640001, "INVALID_ARGS", text)


API_NOT_FOUND: Final = GatewayError(
    HTTPStatus.NOT_FOUND, 1640401, "API_NOT_FOUND", 'API not found [reason="no route matches"]'
)


def answer(
    seed: Seed, cmdb: Apiserver, request: Request, caller: Caller, authorization: str = "{}"
) -> Reply | GatewayError:
    """Refuse, or pass on to CMDB; `caller` comes without a user, who is found here."""
    if find(request.method, request.path) is None:
        return API_NOT_FOUND
    identity = identify(seed, read_header(authorization))
    if identity.flaw:
        return invalid_arguments(REASONS[identity.flaw])
    return pass_back(seed, cmdb.answer(replace(caller, user=identity.user), request))


def pass_back(seed: Seed, reply: Reply) -> Reply:
    """Return CMDB's answer as it leaves the gateway."""
    if reply.own or not seed.renames_keys or isinstance(reply.body, str):
        return reply
    return replace(reply, body=_renamed(reply.body))


def _renamed(body: Mapping[str, Any]) -> dict[str, Any]:
    return {RENAMED.get(name, name): value for name, value in body.items()}
