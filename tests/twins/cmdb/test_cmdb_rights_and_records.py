"""Conformance item 30 of the CMDB facts (section 7), the versions of section 0, and what the twin records."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.twins.cmdb import create_twin

FLAT = {"bk_parent_id": 10, "bk_module_name": "redis"}


def twin(seed: dict[str, Any] | None = None, milliseconds: int = 50) -> FlaskClient:
    moment = datetime(2026, 5, 1, 23, 0, 19, milliseconds * 1000 + 999, tzinfo=UTC)
    client = create_twin(seed, clock=lambda: moment).test_client()
    who = {"bk_app_code": "portal", "bk_app_secret": "s", "bk_username": "tom"}
    client.environ_base["HTTP_X_BKAPI_AUTHORIZATION"] = json.dumps(who)
    return client


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("POST", "module/1/10", "create_biz_topology"),
        ("PUT", "module/1/10/31", "edit_biz_topology"),
        ("DELETE", "module/1/11/31", "delete_biz_topology"),
    ],
)
def test_a_user_without_the_right(method: str, path: str, action: str) -> None:
    """Item 30: 9900403 in raw keys with `permission`, no `data`; reading goes on."""
    client = twin({"users": {"tom": {"denied": [1]}}})
    body = client.open(f"/api/v3/{path}", method=method, json=FLAT).get_json()
    assert body.keys() == {"result", "bk_error_code", "bk_error_msg", "permission"}
    assert (body["bk_error_code"], body["bk_error_msg"]) == (9900403, "没有操作的权限")
    (wanted,) = body["permission"]["actions"]
    assert wanted["id"] == action
    instance = {"type": "biz", "type_name": "业务", "id": "1", "name": "demo"}
    assert wanted["related_resource_types"][0]["instances"] == [[instance]]
    assert client.post("/api/v3/module/search/0/1/11", json={}).get_json()["data"]["count"] == 1


def test_the_esb_passes_the_permission_on() -> None:
    """Item 30, section 0: code, permission and a null data in the ESB's envelope."""
    client = twin({"users": {"tom": {"allowed": [2]}}})
    for biz, name in ((1, "demo"), (77, "")):
        sent = {"bk_biz_id": biz, "bk_set_id": 10, "data": FLAT}
        body = client.post("/api/c/compapi/v2/cc/create_module/", json=sent).get_json()
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
def test_validation_is_wrapped_since_3_14(body: dict[str, Any], inner: int) -> None:
    """Section 0: up to 3.13 the inner code, since then 1199011 around the inner message, quoted once more."""
    codes, texts = [], []
    for version in ("3.13", "3.14.7", "3.14.8"):
        reply = twin({"version": version}).post("/api/v3/module/1/10", json={**FLAT, **body}).get_json()
        codes.append(reply["code"])
        texts.append(reply["message"])
    assert codes == [inner, 1199011, 1199011]
    assert texts[1] == f"'{texts[0]}' 参数无效或不存在"


def test_the_oldest_version_has_its_own_duplicate() -> None:
    """Section 0: 1101099 up to 3.9, and raw keys behind the gateway."""
    client = twin({"version": "3.9"})
    replies = [client.post("/api/v3/module/1/10", json=FLAT).get_json() for _ in range(2)]
    assert [each["bk_error_code"] for each in replies] == [0, 1101099]


@pytest.mark.parametrize(
    ("version", "milliseconds", "written"),
    [
        ("3.13", 50, "2026-05-02T07:00:19.05+08:00"),
        ("3.14.7", 0, "2026-05-02T07:00:19+08:00"),
        ("3.14.8", 0, "2026-05-01T23:00:19Z"),
        ("3.14", 500, "2026-05-01T23:00:19.5Z"),
        ("3.14.8", 123, "2026-05-01T23:00:19.123Z"),
    ],
)
def test_times(version: str, milliseconds: int, written: str) -> None:
    """Sections 0 and 8: local time up to 3.14.7, UTC from 3.14.8, milliseconds without trailing zeros."""
    client = twin({"version": version, "apigw_dialect": "raw"}, milliseconds)
    assert client.post("/api/v3/module/1/10", json=FLAT).get_json()["data"]["create_time"] == written


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
    """Section 4: the ESB is English by default, the gateway Chinese, and each has a header of its own."""
    sent = {"bk_biz_id": 1, "bk_set_id": 2, "bk_module_id": 3}
    method = "POST" if "compapi" in path else "DELETE"
    assert twin().open(path, method=method, json=sent, headers=headers).get_json()["message"] == text


def test_the_ledger_holds_what_took_effect() -> None:
    """One entry a committed write, with the ids by which the request is known; refusals leave none."""
    client = twin()
    sent = {"bk_biz_id": 1, "bk_set_id": 10, "data": FLAT}
    headers = {"X-Request-Id": "r-1", "X-Bkapi-Request-Id": "b-1"}
    replies = [client.post("/api/c/compapi/v2/cc/create_module/", json=sent, headers=headers) for _ in range(2)]
    assert client.get("/twin/ledger").get_json()["writes"] == [
        {
            "sequence": 1,
            "at": "2026-05-01T23:00:19.05Z",
            "operation": "create_module",
            "natural_key": [1, 10, "redis"],
            "id": 37825,
            "user": "tom",
            "request_id": replies[0].get_json()["request_id"],
            "headers": headers,
        }
    ]
    assert client.get("/twin/requests").get_json() == {"create_module": 2}


def test_a_reset_lays_the_seed_anew() -> None:
    """After it rows, sequence, ledger and counts are those of the beginning."""
    client = twin()
    first = client.post("/api/v3/module/1/10", json=FLAT).get_json()["data"]
    assert client.post("/twin/reset").status_code == 204
    assert client.get("/twin/ledger").get_json() == {"writes": []}
    assert client.get("/twin/requests").get_json() == {}
    assert client.post("/api/v3/module/1/10", json=FLAT).get_json()["data"] == first


def test_one_of_many_wins() -> None:
    """Section 3: the unique index lets one of the concurrent creates of a name through, the others are 1199014."""
    client = twin()

    def create(number: int) -> int:
        own = client.application.test_client()
        own.environ_base = client.environ_base
        answer = own.post("/api/v3/module/1/10", json={**FLAT, "bk_module_name": f"m{number % 4}"})
        return int(answer.get_json()["code"])

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
def test_a_bad_seed_does_not_start(seed: dict[str, Any], error: type[Exception]) -> None:
    """An unknown key, version or dialect, or an unset secret, is told at once."""
    with pytest.raises(error):
        create_twin(seed)
