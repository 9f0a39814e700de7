"""Conformance item 30 of the CMDB facts (section 7), versions (section 0), languages, and the ledger."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.twins.cmdb import create_twin
from tests.unit.twins.cmdb.cmdb_client import CREATE, MODULE, TOM, create_client


def twin(seed: dict[str, Any] | None = None, milliseconds: int = 50) -> FlaskClient:
    moment = datetime(2026, 5, 1, 23, 0, 19, milliseconds * 1000 + 999, tzinfo=UTC)
    return create_client(seed, TOM, clock=lambda: moment)


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("POST", "module/1/10", "create_biz_topology"),
        ("PUT", "module/1/10/31", "edit_biz_topology"),
        ("DELETE", "module/1/11/31", "delete_biz_topology"),
    ],
)
def test_a_missing_permission(method: str, path: str, action: str) -> None:
    """Item 30: 9900403 with raw keys and `permission`, without `data`; reads are allowed."""
    client = twin({"users": {"tom": {"denied": [1]}}})
    body = client.open(f"/api/v3/{path}", method=method, json=MODULE).get_json()
    assert body.keys() == {"result", "bk_error_code", "bk_error_msg", "permission"}
    assert (body["bk_error_code"], body["bk_error_msg"]) == (9900403, "没有操作的权限")
    (missing,) = body["permission"]["actions"]
    assert missing["id"] == action
    instance = {"type": "biz", "type_name": "业务", "id": "1", "name": "demo"}
    assert missing["related_resource_types"][0]["instances"] == [[instance]]
    assert client.post("/api/v3/module/search/0/1/11", json={}).get_json()["data"]["count"] == 1


def test_a_missing_permission_over_the_esb() -> None:
    """Item 30, section 0: code, permission and null data in the ESB's envelope."""
    client = twin({"users": {"tom": {"allowed": [2]}}})
    for biz, name in ((1, "demo"), (77, "")):
        create = {**CREATE, "bk_biz_id": biz}
        body = client.post("/api/c/compapi/v2/cc/create_module/", json=create).get_json()
        assert (body["code"], body["message"], body["data"]) == (9900403, "Do not have access permission.", None)
        resource = body["permission"]["actions"][0]["related_resource_types"][0]
        assert resource["instances"][0][0]["name"] == name


INNER: list[tuple[dict[str, Any], int]] = [
    ({"bk_module_name": ""}, 1199010),
    ({"bk_module_name": "a b"}, 1199006),
    ({"bk_module_name": 1}, 1199007),
    ({"bk_module_name": "x" * 257}, 1199073),
    ({"bk_module_name": "模" * 86}, 1199015),
    ({"bk_module_type": "9"}, 1199006),
    ({"operator": "a, b"}, 1199016),
]


@pytest.mark.parametrize(("body", "inner"), INNER)
def test_validation_errors_are_wrapped_since_3_14(body: dict[str, Any], inner: int) -> None:
    """Section 0: the inner code up to 3.13, then 1199011 with the quoted inner message."""
    codes, texts = [], []
    for version in ("3.13", "3.14.7", "3.14.8"):
        response = twin({"version": version}).post("/api/v3/module/1/10", json={**MODULE, **body}).get_json()
        codes.append(response["code"])
        texts.append(response["message"])
    assert codes == [inner, 1199011, 1199011]
    assert texts[1] == f"'{texts[0]}' 参数无效或不存在"


def test_the_code_for_a_duplicate_in_3_9() -> None:
    """Section 0: 1101099, and raw keys behind the gateway."""
    client = twin({"version": "3.9"})
    responses = [client.post("/api/v3/module/1/10", json=MODULE).get_json() for _ in range(2)]
    assert [response["bk_error_code"] for response in responses] == [0, 1101099]


@pytest.mark.parametrize(
    ("version", "milliseconds", "formatted"),
    [
        ("3.13", 50, "2026-05-02T07:00:19.05+08:00"),
        ("3.14.7", 0, "2026-05-02T07:00:19+08:00"),
        ("3.14.8", 0, "2026-05-01T23:00:19Z"),
        ("3.14", 500, "2026-05-01T23:00:19.5Z"),
        ("3.14.8", 123, "2026-05-01T23:00:19.123Z"),
    ],
)
def test_time_formats(version: str, milliseconds: int, formatted: str) -> None:
    """Sections 0 and 8: local time up to 3.14.7, UTC from 3.14.8; milliseconds without trailing zeros."""
    client = twin({"version": version, "apigw_dialect": "raw"}, milliseconds)
    assert client.post("/api/v3/module/1/10", json=MODULE).get_json()["data"]["create_time"] == formatted


@pytest.mark.parametrize(
    ("path", "headers", "text"),
    [
        ("/api/c/compapi/v2/cc/delete_module/", {}, "forbidden remove or update built in set or module"),
        ("/api/c/compapi/v2/cc/delete_module/", {"Blueking-Language": "zh-cn"}, "禁止删除或更新内置集群/模块"),
        ("/api/v3/module/1/2/3", {"Blueking-Language": "en"}, "禁止删除或更新内置集群/模块"),
        ("/api/v3/module/1/2/3", {"X-Bkcmdb-Language": "en"}, "forbidden remove or update built in set or module"),
    ],
)
def test_languages(path: str, headers: dict[str, str], text: str) -> None:
    """Section 4: the ESB is English by default, the gateway Chinese; each has its own header."""
    delete = {"bk_biz_id": 1, "bk_set_id": 2, "bk_module_id": 3}
    method = "POST" if "compapi" in path else "DELETE"
    assert twin().open(path, method=method, json=delete, headers=headers).get_json()["message"] == text


def test_the_ledger_lists_applied_writes() -> None:
    """An entry for each write with the request's ids; a rejected write has none."""
    client = twin()
    headers = {"X-Request-Id": "r-1", "X-Bkapi-Request-Id": "b-1"}
    responses = [client.post("/api/c/compapi/v2/cc/create_module/", json=CREATE, headers=headers) for _ in range(2)]
    assert client.get("/twin/ledger").get_json()["writes"] == [
        {
            "sequence": 1,
            "at": "2026-05-01T23:00:19.05Z",
            "operation": "create_module",
            "natural_key": [1, 10, "redis"],
            "id": 37825,
            "user": "tom",
            "request_id": responses[0].get_json()["request_id"],
            "headers": headers,
        }
    ]
    assert client.get("/twin/requests").get_json() == {"create_module": 2}


def test_a_reset_restores_the_seed() -> None:
    """Rows, id sequence, ledger and counts."""
    client = twin()
    first = client.post("/api/v3/module/1/10", json=MODULE).get_json()["data"]
    assert client.post("/twin/reset").status_code == 204
    assert client.get("/twin/ledger").get_json() == {"writes": []}
    assert client.get("/twin/requests").get_json() == {}
    assert client.post("/api/v3/module/1/10", json=MODULE).get_json()["data"] == first


def test_concurrent_creates_of_a_name() -> None:
    """Section 3: one create of each name succeeds, the others are 1199014."""
    client = twin()

    def create(number: int) -> int:
        thread_client = client.application.test_client()
        thread_client.environ_base = client.environ_base
        response = thread_client.post("/api/v3/module/1/10", json={**MODULE, "bk_module_name": f"m{number % 4}"})
        return int(response.get_json()["code"])

    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(create, range(64)))
    assert sorted(codes) == [0] * 4 + [1199014] * 60
    assert len(client.get("/twin/ledger").get_json()["writes"]) == 4


@pytest.mark.parametrize(
    ("seed", "error"),
    [
        ({"bussinesses": []}, ValueError),
        ({"version": "2"}, ValueError),
        ({"apigw_dialect": "x"}, ValueError),
        ({"apps": {"a": "env:TWIN_NOT_SET"}}, KeyError),
    ],
)
def test_an_invalid_seed_is_rejected(seed: dict[str, Any], error: type[Exception]) -> None:
    """An unknown key, version or dialect, or an environment variable that is not set."""
    with pytest.raises(error):
        create_twin(seed)
