"""Responses with values of a wrong type are invalid."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tests.unit.backends.connections import CMDB_MODULE, OWNER, PM_NODE, envelope, list_response, search_response
from tests.unit.backends.service_client import (
    INVALID,
    UNKNOWN,
    Build,
    app,
    check,
    check_still_works,
    respond_with,
    send,
)
from tests.unit.transport.rawserver import RawServer

pytestmark = pytest.mark.loopback


def variants(valid: dict[str, Any], wrong: dict[str, list[Any]]) -> list[Any]:
    """Return the module with one wrong value at a time, and values that are not modules."""
    variants: list[Any] = [{**valid, key: value} for key, values in wrong.items() for value in values]
    return [*variants, None, [], "UPSTREAM WORDS", 7]


_CMDB_WRONG: Final = variants(
    CMDB_MODULE,
    {
        "bk_module_id": ["x", "37825", -1, 0, None, True, 1.5, 2**63, [1], {}],
        "bk_module_name": [["test"], None, 7, {}, True],
        "operator": [["admin"], 7, {}],
        "default": ["0", None, []],
        "bk_set_id": ["10", None, -10],
    },
)
_PM_WRONG: Final = variants(
    PM_NODE,
    {
        "module_id": ["x", -1, 0, None, True, 1.5, 2**63, [1], {}],
        "module_name": [["demo"], None, 7, {}, True],
        "owner": [[OWNER], 7, OWNER, {"user_id": [1]}],
        "deepth": ["deep", []],
    },
)


@pytest.mark.parametrize(
    ("backend", "body"),
    [
        *(("cmdb", search_response(wrong)) for wrong in _CMDB_WRONG),
        *(("projectman", list_response(wrong)) for wrong in _PM_WRONG),
    ],
)
def test_a_wrong_type_in_a_list_is_an_invalid_response(build: Build, backend: str, body: bytes) -> None:
    """One invalid row makes the response invalid; it does not become a 500."""
    with RawServer(respond_with(body)) as server:
        service = app(build, server.url)
        check(send(service, backend, "list"), INVALID, None)
        check_still_works(service, server, backend)


@pytest.mark.parametrize(
    ("backend", "body"),
    [
        *(
            ("cmdb", envelope(wrong))
            for wrong in _CMDB_WRONG
            if not isinstance(wrong, dict) or wrong.get("bk_module_name") is not None
        ),
        *(("projectman", json.dumps(wrong).encode()) for wrong in _PM_WRONG),
    ],
)
def test_a_wrong_type_in_the_response_to_a_create_is_unknown(build: Build, backend: str, body: bytes) -> None:
    """The module probably exists, but its id is unknown."""
    with RawServer(respond_with(body)) as server:
        service = app(build, server.url)
        check(send(service, backend, "create"), UNKNOWN, "unknown")
        check_still_works(service, server, backend)
