"""Paths, bodies and error checks shared by the tests of the ProjectMan twin."""

from collections.abc import Callable, Mapping
from typing import Any

from flask.testing import FlaskClient

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
