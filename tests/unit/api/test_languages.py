"""In which language a caller is told what is wrong: his own words about it, and the envelope in it."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.domain.errors import REGISTRY, GatewayError
from gateway.domain.journal import Journal
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem

ZH = {"Accept-Language": "zh-CN"}
ENGLISH, CHINESE = ("en", "No such address"), ("zh-Hans", "地址不存在")


@pytest.mark.parametrize(
    ("accepted", "told"),
    [
        (None, ENGLISH),
        ("", ENGLISH),
        ("en", ENGLISH),
        ("en-GB, zh;q=0.9", ENGLISH),
        ("zh;q=0", ENGLISH),
        ("zh;q=0, *;q=0", ENGLISH),
        ("fr, de;q=0.9", ENGLISH),
        ("fr, zh;q=0.1, en;q=0.2", ENGLISH),
        ("*", ENGLISH),
        ("zh;q=0.5, *", ENGLISH),
        ("en, zh", ENGLISH),
        ("zhx", ENGLISH),
        ("zh;q=high", ENGLISH),
        ("中文", ENGLISH),
        ("zh", CHINESE),
        ("ZH-cn", CHINESE),
        ("zh_CN", CHINESE),
        ("zh-Hans", CHINESE),
        ("zh-Hans-CN", CHINESE),
        ("zh-TW", CHINESE),
        ("zh-CN, en;q=0.5", CHINESE),
        ("zh-CN,zh;q=0.9,en;q=0.8", CHINESE),
        ("en;q=0.8, zh;q=0.9", CHINESE),
        ("fr, zh;q=0.1", CHINESE),
        ("zh, en", CHINESE),
        ("zh, *;q=0.5", CHINESE),
        ("en;q=0, *", CHINESE),
        ("zh;q=0.1, zh-TW;q=0.6, en;q=0.5", CHINESE),
    ],
)
def test_preference(client: FlaskClient, accepted: str | None, told: tuple[str, str]) -> None:
    """The best liked of both languages is answered, the first named of two liked alike, English where neither is."""
    headers = {} if accepted is None else {"Accept-Language": accepted.encode().decode("latin-1")}
    response = client.get("/nope", headers=headers)
    assert (response.headers["Content-Language"], assert_problem(response, 404, "not_found")["title"]) == told
    assert "Accept-Language" in response.vary


def test_envelope(client: FlaskClient, cmdb: FakeBackend) -> None:
    """Title, detail, and of each mistake detail and allowed are Chinese; all else is what an English caller reads."""
    sent = body(cmdb, name="a/b", owners=["-"], scope=1.5, surplus=1, attributes={"default": 1})
    english = client.post("/modules", json=sent)
    chinese = client.post("/modules", json=sent, headers=ZH)
    told, telling = assert_problem(english, 422, "validation_failed"), assert_problem(chinese, 422, "validation_failed")
    assert telling["title"] == telling["detail"] == "请求不符合规则"
    assert _words(telling) == {
        (
            "/name",
            "含有后端不接受的字符，或格式不被后端接受。",
            '1 至 256 字节，不含空白字符、控制字符和 \\ | / : * , < > " ? #',
        ),
        ("/owners/0", "不是此后端的 ID。", "字母、数字和 @ . _ -，以字母或数字开头"),
        ("/scope", "类型错误。", None),
        ("/surplus", "没有此字段。", None),
        ("/attributes/default", "后端无法保存此字段。", None),
    }
    assert _without_words(told) == _without_words(telling)
    assert (english.headers["Content-Language"], chinese.headers["Content-Language"]) == ("en", "zh-Hans")


def test_values(client: FlaskClient, cmdb: FakeBackend) -> None:
    """The values of a sentence stand where Chinese wants them."""
    sent = body(cmdb, name="名'{0}'")
    client.post("/modules", json=sent)
    told = assert_problem(client.post("/modules", json=sent, headers=ZH), 409, "module_already_exists")
    assert told["detail"] == "名为“名'{0}'”的模块已存在，位于作用域 1 的父级 10 下。"


def test_what_a_create_would_meet(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A check that fails, and an operation that was refused, tell why in the caller's language too."""
    client.post("/modules", json=body(cmdb))
    checks = client.post("/modules?validate_only=true", json=body(cmdb), headers=ZH)
    refused = client.post("/modules", json=body(cmdb), headers={"Prefer": "respond-async"})
    operation = client.get(refused.headers["Location"], headers=ZH)
    for told, response in ((checks.get_json()["checks"][-1], checks), (operation.get_json()["error"], operation)):
        assert told["detail"].startswith("名为“")
        assert response.headers["Content-Language"] == "zh-Hans"


def test_success(client: FlaskClient, cmdb: FakeBackend) -> None:
    """What is not told in words names no language, and is the same for everybody."""
    response = client.post("/modules", json=body(cmdb), headers=ZH)
    assert response.status_code == 201
    assert "Content-Language" not in response.headers
    assert "Accept-Language" not in response.vary


@pytest.mark.parametrize("code", REGISTRY)
def test_registry(client: FlaskClient, code: str) -> None:
    """/errors tells title and meaning in the caller's language, and everything else as it is."""
    english, chinese = client.get("/errors"), client.get("/errors", headers=ZH)
    told, telling = (
        next(each for each in response.get_json()["errors"] if each["code"] == code) for response in (english, chinese)
    )
    for word in ("title", "meaning"):
        assert told.pop(word) != telling.pop(word)
    assert told == telling
    for response, language in ((english, "en"), (chinese, "zh-Hans")):
        assert response.headers["Content-Language"] == language
        assert "Accept-Language" in response.vary


@pytest.mark.parametrize("error", REGISTRY.values())
def test_every_code(client: FlaskClient, cmdb: FakeBackend, error: type[GatewayError]) -> None:
    """Every error is told in Chinese, its detail too where nobody has said more than the title."""
    cmdb.fails["list"] = error()
    told = client.get("/modules?backend=cmdb&scope=1", headers=ZH).get_json()
    assert (told["code"], told["detail"]) == (error.code, told["title"])
    assert told["title"] != error.title


def test_unforeseen(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A bug is told in Chinese too; a sentence that nobody has translated stays as it is."""
    cmdb.fails["list"] = RuntimeError()
    assert (
        assert_problem(client.get("/modules?backend=cmdb&scope=1", headers=ZH), 500, "internal")["title"]
        == "网关内部错误"
    )
    cmdb.fails["list"] = REGISTRY["backend_error"]("Said by nobody {0} {}.")
    told = assert_problem(client.get("/modules?backend=cmdb&scope=1", headers=ZH), 502, "backend_error")
    assert (told["title"], told["detail"]) == ("后端拒绝了请求", "Said by nobody {0} {}.")


def test_journal(client: FlaskClient, cmdb: FakeBackend, journal: Journal) -> None:
    """The journal keeps English, whoever asks: it may be told again to somebody else."""
    client.post("/modules", json=body(cmdb))
    client.post("/modules", json=body(cmdb), headers=ZH)
    operation = journal.get("operation-2")
    assert operation is not None
    assert operation.error is not None
    assert operation.error["detail"] == "A module named 'demo' is there already, under parent 10 of scope 1."


def _words(told: dict[str, Any]) -> set[tuple[str, str, str | None]]:
    return {(each["pointer"], each["detail"], each.get("allowed")) for each in told["errors"]}


def _without_words(told: dict[str, Any]) -> dict[str, Any]:
    errors = [{name: each[name] for name in ("pointer", "code")} for each in told["errors"]]
    return {**told, "title": "", "detail": "", "request_id": "", "errors": errors}
