"""Paths, bodies, signatures and error checks shared by the tests of the ProjectMan twin."""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from flask.testing import FlaskClient
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

DEMO = "0792b7d26cb74bd799cbae80063dc74a"
OTHER = "5b1e4c0a97d24f3c8e6a2d7f10b93c58"
OWNER = {"user_id": "09d75cde5180d4481f91c018e89cb8e2"}
CREATE = f"/v4/projects/{DEMO}/module"
MODULES = f"/v4/projects/{DEMO}/modules"

ClientWith = Callable[[Mapping[str, object]], FlaskClient]


def module_body(**changes: Any) -> dict[str, Any]:
    return {"module_name": "demo", "owner": OWNER, **changes}


def assert_error(response: Any, code: str) -> None:
    assert (response.status_code, response.get_json()["error_code"]) == (400, code)
    assert set(response.get_json()) == {"error_code", "error_msg"}


def assert_unauthenticated(response: Any, message: str) -> None:
    assert response.status_code == 401
    assert response.get_json() == {
        "error_code": "APIGW.0301",
        "error_msg": message,
        "request_id": response.headers["X-Request-Id"],
    }


def sign_at(
    time: datetime,
    path: str,
    *,
    method: str = "GET",
    query: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    secret: str = "SKTEST",
    **extra: str,
) -> dict[str, str]:
    """Return the headers of a request, signed by the vendor's own client; `extra` are headers to sign too."""
    headers = {"Host": "localhost", "X-Sdk-Date": time.strftime("%Y%m%dT%H%M%SZ")}
    headers |= {name.replace("_", "-").title(): value for name, value in extra.items()}
    request = SdkRequest(method=method, resource_path=path, query_params=list(query), header_params=headers, body=body)
    signed: dict[str, str] = Signer(SimpleNamespace(ak="AKTEST", sk=secret)).sign(request).header_params
    return signed
