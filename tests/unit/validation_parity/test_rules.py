"""The gateway's rules for names and other fields accept the same values as the twins."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.backends.cmdb.capabilities import build_capabilities as cmdb_capabilities
from gateway.backends.projectman.capabilities import build_capabilities as projectman_capabilities
from gateway.domain.capabilities import Capabilities, strip_whitespace
from gateway.twins.cmdb import create_twin as cmdb_twin
from gateway.twins.projectman import create_twin as projectman_twin
from tests.unit.backends.connections import OWNER, PROJECT, cmdb_options, projectman_options
from tests.unit.twins.projectman.api import sign_at

_CONTROLS: Final = {chr(code) for code in (*range(0x20), 0x7F)}
#: Characters at the edges of both rules.
_EDGES: Final = st.sampled_from(
    [
        *"\\|/:*,<>\"?# .;()=-_'",
        "a",
        "Z",
        "9",
        "模",
        "一",
        "龥",
        "龦",
        "㐀",
        "ａ",
        "é",
        "–",
        "\u3000",
        "😀",
        "\t",
        "\x1c",
    ]
)
_NAMES: Final = st.one_of(
    st.text(alphabet=st.one_of(_EDGES, st.characters(exclude_categories=["Cs"])), max_size=40),
    st.builds(lambda unit, count: unit * count, _EDGES, st.sampled_from([1, 29, 30, 31, 85, 86, 255, 256, 257])),
)
_QUIET: Final = settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_CMDB: Final = cmdb_capabilities(cmdb_options("http://127.0.0.1:1"))
_PROJECTMAN: Final = projectman_capabilities(projectman_options("http://127.0.0.1:1"))


@pytest.fixture(scope="module")
def cmdb() -> FlaskClient:
    return cmdb_twin().test_client()


@pytest.fixture(scope="module")
def projectman() -> FlaskClient:
    return projectman_twin({"options": {"max_modules": 100_000}}).test_client()


@_QUIET
@given(name=_NAMES)
@example("a b").via("conformance 9")
@example("a/b").via("conformance 9")
@example("a\tb").via("conformance 9")
@example("a;b").via("conformance 9")
@example("x" * 256).via("conformance 10")
@example("x" * 257).via("conformance 10")
@example("模" * 85).via("conformance 10")
@example("模" * 86).via("conformance 10")
@example(" x ").via("conformance 9")
@example("\u3000x\u3000").via("white space of Unicode at the ends")
def test_cmdb_names(cmdb: FlaskClient, name: str) -> None:
    """CMDB's twin accepts the names that the gateway accepts, except control characters, and stores them unchanged."""
    sent = strip_whitespace(name)
    if is_accepted(_CMDB, scope="1", parent="10", name=sent):
        response = create_in_cmdb(cmdb, bk_module_name=sent)
        assert response["result"] is True, response
        assert response["data"]["bk_module_name"] == sent
        delete_in_cmdb(cmdb, response["data"]["bk_module_id"])
    elif not _CONTROLS & set(sent):
        assert create_in_cmdb(cmdb, bk_module_name=sent)["result"] is False


@_QUIET
@given(owners=st.lists(st.text(alphabet="aB9@.,_- 模", max_size=6), max_size=4).map(tuple))
@example(("admin", "tom")).via("conformance 13")
@example(("admin", " tom")).via("conformance 13")
@example(("张三",)).via("conformance 13")
@example(tuple("a" * 50 + str(i) for i in range(50))).via("more than 2000 bytes")
def test_cmdb_owners(cmdb: FlaskClient, owners: tuple[str, ...]) -> None:
    """Owners that the gateway accepts are an operator that CMDB's twin accepts and stores unchanged."""
    if is_accepted(_CMDB, scope="1", parent="10", name="x", owners=owners):
        response = create_in_cmdb(cmdb, bk_module_name="owned", operator=",".join(owners))
        assert response["result"] is True, response
        assert response["data"]["operator"] == ",".join(owners)
        delete_in_cmdb(cmdb, response["data"]["bk_module_id"])


@_QUIET
@given(name=_NAMES)
@example("a-b_c").via("conformance 6")
@example("模块1").via("conformance 6")
@example("-").via("conformance 6")
@example("模" * 30).via("conformance 6")
@example("模" * 31).via("conformance 6")
@example("a\n").via("conformance 6")
def test_projectman_names(projectman: FlaskClient, name: str) -> None:
    """ProjectMan's twin accepts exactly the names that the gateway accepts."""
    sent = strip_whitespace(name)
    status, response = create_in_projectman(projectman, module_name=sent)
    assert is_accepted(_PROJECTMAN, scope=PROJECT, name=sent, owners=(OWNER,)) is (status == 200), (sent, response)
    if status == 200:
        assert response["module_name"] == sent
        delete_in_projectman(projectman, response["module_id"])


_NUMBERS = itertools.count(1)


@_QUIET
@given(
    description=st.one_of(
        st.none(),
        st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20),
        st.sampled_from(["x" * 255, "x" * 256, "模" * 255, "\n" * 255, ""]),
    ),
    owner=st.one_of(st.just(OWNER), st.text(alphabet="0aAfz-", min_size=30, max_size=34)),
    parent=st.one_of(st.none(), st.sampled_from(["1", "2", "0", "-1", "01", "12345678901", "4294967295", "١"])),
)
def test_projectman_fields(projectman: FlaskClient, description: str | None, owner: str, parent: str | None) -> None:
    """Fields that the gateway accepts are valid for ProjectMan's twin; only the member or parent may be unknown."""
    values: dict[str, Any] = {"scope": PROJECT, "name": f"n{next(_NUMBERS)}", "owners": (owner,), "parent": parent}
    if not is_accepted(_PROJECTMAN, description=description, **values):
        return
    fields = {"module_name": values["name"], "owner": {"user_id": owner}, "description": description}
    fields |= {"parent_module_id": int(parent)} if parent else {}
    status, response = create_in_projectman(projectman, **fields)
    assert status == 200 or response["error_code"] in {"PM.02177003", "PM.EMU00002"}, response
    if status == 200:
        delete_in_projectman(projectman, response["module_id"])


def is_accepted(rules: Capabilities, **values: Any) -> bool:
    return not rules.validate(values, "create")


def create_in_cmdb(cmdb: FlaskClient, **attributes: Any) -> dict[str, Any]:
    who = '{"bk_app_code": "gateway", "bk_app_secret": "x", "bk_username": "admin"}'
    body = {"bk_biz_id": 1, "bk_set_id": 10, "data": {"bk_parent_id": 10, **attributes}}
    path = "/api/c/compapi/v2/cc/create_module/"
    response: dict[str, Any] = cmdb.post(path, json=body, headers={"X-Bkapi-Authorization": who}).get_json()
    return response


def delete_in_cmdb(cmdb: FlaskClient, module_id: int) -> None:
    who = '{"bk_app_code": "gateway", "bk_app_secret": "x", "bk_username": "admin"}'
    path = f"/api/v3/module/1/10/{module_id}"
    assert cmdb.delete(path, headers={"X-Bkapi-Authorization": who}).get_json()["result"] is True


def create_in_projectman(projectman: FlaskClient, **fields: Any) -> tuple[int, dict[str, Any]]:
    fields = {"owner": {"user_id": OWNER}, **fields}
    fields_to_send = {key: value for key, value in fields.items() if value is not None}
    path = f"/v4/projects/{PROJECT}/module"
    body = json.dumps(fields_to_send).encode()
    response = projectman.post(path, data=body, headers=sign_at(datetime.now(UTC), path, method="POST", body=body))
    return response.status_code, response.get_json()


def delete_in_projectman(projectman: FlaskClient, module_id: int) -> None:
    path = f"/v4/projects/{PROJECT}/modules/{module_id}"
    headers = sign_at(datetime.now(UTC), path, method="DELETE")
    assert projectman.delete(path, headers=headers).status_code == 204
