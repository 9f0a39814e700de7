"""A CMDB connection on the virtual clock, and the exchange of a create."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
import responses

from gateway.backends.cmdb import create_backend
from gateway.domain.backend import Backend
from gateway.domain.module import ModuleDraft
from tests.conftest import VirtualClock
from tests.unit.backends.connections import cmdb_options
from tests.unit.backends.exchanges import Exchange

BASE: Final = "https://bkapi.example.com"
#: documented: cmdb.md §1 (authentication in one header) and §4 (the two language headers)
HEADERS: Final = {
    "X-Bkapi-Authorization": '{"bk_app_code": "gateway", "bk_app_secret": "canary-app-secret", "bk_username": "admin"}',
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Blueking-Language": "en",
    "X-Bkcmdb-Language": "en",
    "X-Request-Id": "test-request",
}
DRAFT: Final = ModuleDraft(scope="1", parent="10", name="test")
SetResponse = Callable[..., None]


@pytest.fixture
def backend(clock: VirtualClock) -> Backend:
    """The connection, over the ESB."""
    return create_backend("cmdb", cmdb_options(BASE), clock)


@pytest.fixture
def apigw(clock: VirtualClock) -> Backend:
    """The connection, over the API gateway."""
    return create_backend("cmdb", cmdb_options(BASE, "apigw"), clock)


@pytest.fixture
def set_create_response(wire: responses.RequestsMock) -> SetResponse:
    """A function that sets the response to the create of DRAFT over the ESB."""

    def set_response(response: Any, status: int = 200, **headers: str) -> None:
        Exchange(
            method="POST",
            url=f"{BASE}/api/c/compapi/v2/cc/create_module/",
            headers=HEADERS,
            body={"bk_biz_id": 1, "bk_set_id": 10, "data": {"bk_parent_id": 10, "bk_module_name": "test"}},
            response=response,
            status=status,
            response_headers={name.replace("_", "-"): value for name, value in headers.items()},
        ).register(wire)

    return set_response
