"""Replies of the right shape with a wrong type in them: nothing is guessed."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tests.unit.backends.connections import CMDB_MODULE, OWNER, PM_NODE, envelope, found, tree
from tests.unit.backends.service_client import INVALID, UNKNOWN, Build, app, ask, check, goes_on, said
from tests.unit.transport.rawserver import RawServer

pytestmark = pytest.mark.loopback


def variants(sound: dict[str, Any], wrong: dict[str, list[Any]]) -> list[Any]:
    """Return the module with one wrong value at a time, without each key it needs, and what is no module at all."""
    spoilt: list[Any] = [{**sound, key: value} for key, values in wrong.items() for value in values]
    return [*spoilt, None, [], "UPSTREAM WORDS", 7]


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
    [*(("cmdb", found(wrong)) for wrong in _CMDB_WRONG), *(("projectman", tree(wrong)) for wrong in _PM_WRONG)],
)
def test_a_wrong_type_in_a_list_is_an_invalid_reply(build: Build, backend: str, body: bytes) -> None:
    """One row that is no module makes the reply invalid; nothing is guessed, nothing escapes as a 500."""
    with RawServer(said(body)) as server:
        service = app(build, server.url)
        check(ask(service, backend, "list"), INVALID, None)
        goes_on(service, server, backend)


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
def test_a_wrong_type_in_the_reply_to_a_create_is_unknown(build: Build, backend: str, body: bytes) -> None:
    """The module is probably there, but nobody can say under which id."""
    with RawServer(said(body)) as server:
        service = app(build, server.url)
        check(ask(service, backend, "create"), UNKNOWN, "unknown")
        goes_on(service, server, backend)
