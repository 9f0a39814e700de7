"""Flask's test client of a CMDB twin."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from flask.testing import FlaskClient

from gateway.twins.cmdb import create_twin

ADMIN = {"bk_app_code": "portal", "bk_app_secret": "s", "bk_username": "admin"}
TOM = {**ADMIN, "bk_username": "tom"}
MODULE: dict[str, Any] = {"bk_parent_id": 10, "bk_module_name": "redis"}
CREATE = {"bk_biz_id": 1, "bk_set_id": 10, "data": MODULE}  # over the ESB


def create_client(
    seed: Mapping[str, Any] | None = None,
    credentials: Mapping[str, str] | None = ADMIN,
    *,
    language: str | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FlaskClient:
    client = create_twin(seed, clock=clock).test_client()
    if credentials is not None:
        client.environ_base["HTTP_X_BKAPI_AUTHORIZATION"] = json.dumps(credentials)
    if language is not None:
        client.environ_base["HTTP_X_BKCMDB_LANGUAGE"] = language
    return client
