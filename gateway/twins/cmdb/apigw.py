"""The API gateway in front of CMDB: its own errors with real statuses, CMDB's responses with renamed keys.

Source: facts, sections 0, 1(b) and 5.
"""

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final

from gateway.twins.cmdb.apiserver import Apiserver, CmdbRequest, CmdbResponse, find_resource
from gateway.twins.cmdb.credentials import AuthFailure, authenticate, parse_header
from gateway.twins.cmdb.seed import CmdbSeed
from gateway.twins.cmdb.store import RequestInfo

RENAMED_KEYS: Final = {"bk_error_code": "code", "bk_error_msg": "message"}
AUTH_REASONS: Final[dict[AuthFailure, str]] = {
    AuthFailure.HEADER_INVALID: "request header X-Bkapi-Authorization is not a valid JSON",
    AuthFailure.APP_MISSING: "app code cannot be empty",
    AuthFailure.SECRET_MISSING: "please provide bk_app_secret or bk_signature to verify app",
    AuthFailure.APP_UNKNOWN: "bk_app_code or bk_app_secret is incorrect",
    AuthFailure.SECRET_WRONG: "bk_app_code or bk_app_secret is incorrect",
    AuthFailure.TOKEN_WRONG: "user authentication failed, please provide a valid user identity",
}


@dataclass(frozen=True)
class ApigwError:
    """An error response of the gateway itself."""

    status: int
    code: int
    name: str
    message: str

    @property
    def headers(self) -> dict[str, str]:
        """The headers that mark a response of the gateway."""
        return {"X-Bkapi-Error-Code": str(self.code), "X-Bkapi-Error-Message": self.message}

    @property
    def body(self) -> dict[str, Any]:
        """The gateway's envelope."""
        return {
            "code_name": self.name,
            "code": self.code,
            "message": self.message,
            "result": False,
            "data": None,
        }


API_NOT_FOUND: Final = ApigwError(
    HTTPStatus.NOT_FOUND, 1640401, "API_NOT_FOUND", 'API not found [reason="no route matches"]'
)


def handle(
    seed: CmdbSeed, cmdb: Apiserver, request: CmdbRequest, info: RequestInfo, authorization: str
) -> CmdbResponse | ApigwError:
    """Authenticate a request and relay it to CMDB; `info` has no user yet."""
    if find_resource(request.method, request.path) is None and not seed.version.relays_unknown_paths:
        return API_NOT_FOUND
    identity = authenticate(seed, parse_header(authorization))
    if identity.failure:
        text = f'Parameters error [reason="{AUTH_REASONS[identity.failure]}"]'
        return ApigwError(HTTPStatus.BAD_REQUEST, 1640001, "INVALID_ARGS", text)
    return relay(seed, cmdb.handle(replace(info, user=identity.user), request))


def relay(seed: CmdbSeed, response: CmdbResponse) -> CmdbResponse:
    """Return CMDB's response as the API gateway sends it, with renamed keys in some releases."""
    if response.from_apiserver or not seed.renames_keys or isinstance(response.body, str):
        return response
    return replace(response, body={RENAMED_KEYS.get(name, name): value for name, value in response.body.items()})
