"""The language of errors: its negotiation, the texts in it, and that both languages are complete."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from string import Formatter
from typing import Any, Final

import pytest
from flask.testing import FlaskClient

from gateway.api.i18n import LANGUAGES, Language
from gateway.api.request_parsing import _MESSAGE_KEYS, _VALIDATOR_CODES
from gateway.domain.errors import FIELD_ERROR_CODES, REGISTRY, FieldError, GatewayError
from gateway.domain.journal import Journal
from gateway.domain.messages import ENGLISH as MESSAGES
from gateway.domain.messages import Message, message, verbatim
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem

ROOT: Final = Path(__file__).parents[3]
ZH = {"Accept-Language": "zh-CN"}
ENGLISH, CHINESE = ("en", "No such path"), ("zh-Hans", "地址不存在")


@pytest.mark.parametrize(
    ("accepted", "expected"),
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
def test_preference(client: FlaskClient, accepted: str | None, expected: tuple[str, str]) -> None:
    """The language of the highest quality is used, of equal ones the first, English if neither is accepted."""
    headers = {} if accepted is None else {"Accept-Language": accepted.encode().decode("latin-1")}
    response = client.get("/nope", headers=headers)
    assert (response.headers["Content-Language"], assert_problem(response, 404, "not_found")["title"]) == expected
    assert "Accept-Language" in response.vary


def test_envelope(client: FlaskClient, cmdb: FakeBackend) -> None:
    """Titles, details and accepted values are Chinese; everything else equals the English problem document."""
    payload = body(cmdb, name="a/b", owners=["-"], scope=1.5, surplus=1, attributes={"default": 1})
    english = client.post("/modules", json=payload)
    chinese = client.post("/modules", json=payload, headers=ZH)
    english_document, chinese_document = (
        assert_problem(english, 422, "validation_failed"),
        assert_problem(chinese, 422, "validation_failed"),
    )
    assert chinese_document["title"] == "请求不符合规则"
    assert chinese_document["detail"].startswith("有 5 个值不被接受：/scope, /surplus")
    assert _localized_texts(chinese_document) == {
        (
            "/name",
            '“a/b”含有后端不接受的字符，或格式不被后端接受。允许：1 至 256 字节，不含空白字符、控制字符和 \\ | / : * , < > " ? #。',  # noqa: E501
            '1 至 256 字节，不含空白字符、控制字符和 \\ | / : * , < > " ? #',
        ),
        (
            "/owners/0",
            "“-”不是此后端的 ID。允许：字母、数字和 @ . _ -，以字母或数字开头。",
            "字母、数字和 @ . _ -，以字母或数字开头",
        ),
        ("/scope", "“1.5”的类型错误，应为 string, integer。", None),
        (
            "/surplus",
            "没有字段“surplus”。可用的字段：backend, scope, parent, name, description, owners, attributes。",
            None,
        ),
        ("/attributes/default", "后端不支持字段“attributes/default”。", None),
    }
    assert _without_localized_texts(english_document) == _without_localized_texts(chinese_document)
    assert (english.headers["Content-Language"], chinese.headers["Content-Language"]) == ("en", "zh-Hans")


def test_values(client: FlaskClient, cmdb: FakeBackend) -> None:
    """Values are inserted by name; braces in a value stay as they are."""
    payload = body(cmdb, name="名'{0}'")
    client.post("/modules", json=payload)
    document = assert_problem(client.post("/modules", json=payload, headers=ZH), 409, "module_already_exists")
    assert document["detail"] == "名为“名'{0}'”的模块已存在，位于作用域 1 的父级 10 下。"


def test_checks_and_operations(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A failed check and a refused operation explain the reason in the caller's language."""
    client.post("/modules", json=body(cmdb))
    checks = client.post("/modules?validate_only=true", json=body(cmdb), headers=ZH)
    refused = client.post("/modules", json=body(cmdb), headers={"Prefer": "respond-async"})
    operation = client.get(refused.headers["Location"], headers=ZH)
    for document, response in ((checks.get_json()["checks"][-1], checks), (operation.get_json()["error"], operation)):
        assert document["detail"].startswith("名为“")
        assert response.headers["Content-Language"] == "zh-Hans"


def test_success(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A response without localized text has no Content-Language and does not vary by language."""
    response = client.post("/modules", json=body(cmdb), headers=ZH)
    assert response.status_code == 201
    assert "Content-Language" not in response.headers
    assert "Accept-Language" not in response.vary


@pytest.mark.parametrize("code", REGISTRY)
def test_registry(client: FlaskClient, code: str) -> None:
    """/errors has title and meaning in the caller's language; everything else is equal."""
    english, chinese = client.get("/errors"), client.get("/errors", headers=ZH)
    english_document, chinese_document = (
        next(error for error in response.get_json()["errors"] if error["code"] == code)
        for response in (english, chinese)
    )
    for member in ("title", "meaning"):
        assert english_document.pop(member) != chinese_document.pop(member)
    assert english_document == chinese_document
    for response, language in ((english, "en"), (chinese, "zh-Hans")):
        assert response.headers["Content-Language"] == language
        assert "Accept-Language" in response.vary


@pytest.mark.parametrize("error", REGISTRY.values())
def test_every_code(client: FlaskClient, cmdb: FakeBackend, error: type[GatewayError]) -> None:
    """Every error has a Chinese title; without a message, its detail is that of its code, or else the title."""
    cmdb.fails["list"] = error()
    document = client.get("/modules?backend=cmdb&scope=1", headers=ZH).get_json()
    assert document["code"] == error.code
    assert document["title"] != error.title
    template = LANGUAGES[1].messages.get(error.code, "")
    values = {"backend": "cmdb", "scope": "1", "path": "/modules", "key": ""}
    assert document["detail"] in {document["title"], template.format_map(defaultdict(str, values))}


def test_internal_error(client: FlaskClient, cmdb: FakeBackend) -> None:
    """An internal error is localized; a verbatim message reads the same in every language."""
    cmdb.fails["list"] = RuntimeError()
    assert (
        assert_problem(client.get("/modules?backend=cmdb&scope=1", headers=ZH), 500, "internal")["title"]
        == "网关内部错误"
    )
    cmdb.fails["list"] = REGISTRY["backend_error"](verbatim("A text with {0} {}."))
    document = assert_problem(client.get("/modules?backend=cmdb&scope=1", headers=ZH), 502, "backend_error")
    assert (document["title"], document["detail"]) == ("后端拒绝了请求", "A text with {0} {}.")


def test_journal(client: FlaskClient, cmdb: FakeBackend, journal: Journal) -> None:
    """The journal stores the English detail and the message's key, whatever language the request had."""
    client.post("/modules", json=body(cmdb))
    client.post("/modules", json=body(cmdb), headers=ZH)
    operation = journal.get("op-2")
    assert operation is not None
    assert operation.error is not None
    assert operation.error["detail"] == "A module named 'demo' already exists under parent 10 of scope 1."


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.tag)
def test_every_language_is_complete(language: Language) -> None:
    """A language has a title and a description for each error code and a text for each message, and no others."""
    assert language.titles.keys() == language.descriptions.keys() == REGISTRY.keys()
    assert language.messages.keys() == MESSAGES.keys()
    assert all([*language.titles.values(), *language.descriptions.values(), *language.messages.values()])


@pytest.mark.parametrize("key", MESSAGES)
@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.tag)
def test_a_message_has_the_same_values_in_every_language(language: Language, key: str) -> None:
    """The placeholders of a text are those of the English one."""
    assert _placeholders(language.messages[key]) == _placeholders(MESSAGES[key])
    assert language.text(message(key, **dict.fromkeys(_placeholders(MESSAGES[key]), "{0}"))) != ""


#: Messages that have no value: the refused value is a body or a credential, which no answer repeats, or the texts
#: name what happened.
VALUELESS = re.compile(
    "json_not_utf8|no_credential|api_key_unknown|bearer_expected|certificate_unknown|token_.*|jwks_.*|loopback_only"
    "|caller_rate_limited|passthrough_credential_(missing|rejected)|owner_required|owner_missing|description_required"
    "|field_code_.*|accepts_.*|name_taken_by_another|not_connected|connection_.*|response_.*|deadline_before_send"
    "|iam_credentials_rejected|backend_rate_limited|read_before_write_failed|update_not_read_back|module_has_children"
    "|create_not_applied|claim_too_late|journal_.*|batch_size|parent_twice|length_between|credentials_.*"
    "|operation_in_window|operation_settled_meanwhile|body_.*|request_.*|headers?_.*"
    "|expectation_unsupported|too_many_connections|transfer_coding_unsupported"
)


@pytest.mark.parametrize("key", [key for key in MESSAGES if not VALUELESS.fullmatch(key)])
def test_a_detail_names_the_value(key: str) -> None:
    """A text about a value of the caller names it; a long or unprintable one is cut and escaped."""
    names = _placeholders(MESSAGES[key])
    assert names
    text = str(message(key, **dict.fromkeys(names, "a\n\x1b\u202e" + "x" * 10_000)))
    assert text.isprintable()
    assert "a\\n\\x1b\\u202exxx" in text
    assert len(text) < 250 * (len(names) + 1)


@pytest.mark.parametrize(
    ("method", "path", "arguments", "expected"),
    [
        ("GET", "/modules/cmdb.1.10.999", {}, "There is no module with the id 'cmdb.1.10.999'."),
        ("GET", "/modules/nope", {}, "There is no module with the id 'nope'."),
        ("GET", "/operations/nope", {}, "There is no operation with the id 'nope' that the caller may read."),
        ("GET", "/nope%0a", {}, "There is no path '/nope\\n'; /openapi.json lists all."),
        ("PUT", "/modules", {}, "'/modules' does not accept PUT. It accepts: GET, HEAD, OPTIONS, POST."),
        ("GET", "/backends/x", {}, "There is no connection 'x'. There are: cmdb, projectman."),
        ("GET", "/modules?backend=x&scope=1", {}, "There is no connection 'x'. There are: cmdb, projectman."),
        ("GET", "/modules?backend=cmdb&scope=9", {}, "cmdb has no scope '9', or the gateway cannot see it."),
        ("GET", "/modules?backend=cmdb&scope=1&page_size=0", {}, "'0' must be between 1 and 200."),
        ("GET", "/modules?backend=cmdb&scope=1&page_size=x", {}, "'x' has the wrong type. Expected: 1 to 200."),
        ("GET", "/modules?backend=cmdb&scope=1&include=x", {}, "'x' is not one of the allowed values: built_in."),
        ("GET", "/modules?backend=cmdb&scope=1&scope=1", {}, "'scope' is given more than once; give it once."),
        ("GET", "/modules?backend=cmdb&scope=1&page_size=0&x=1", {}, "2 values are refused: page_size, x."),
        ("GET", "/modules/cmdb.1.10.1?x=1", {}, "There is no parameter 'x': this endpoint has none."),
        ("POST", "/modules?if_exists=x", {}, "'x' is not one of the allowed values: error, adopt."),
        ("POST", "/modules", {"name": "a b"}, "'a b' has characters, or a form, that the backend refuses. Allowed:"),
        ("POST", "/modules", {"name": {"a": 1}}, "'{…}' has the wrong type. Expected: string."),
        ("POST", "/modules", {"owners": ["a", "a"]}, "'a' is in the list twice; give it once."),
        ("POST", "/modules", {"owners": [1]}, "'1' has the wrong type. Expected: string."),
        ("POST", "/modules", {"owners": 5}, "'5' has the wrong type. Expected: list of ids."),
        ("POST", "/modules", {"scope": "2"}, "cmdb has no scope '2', or the gateway cannot see it."),
        ("POST", "/modules", {"parent": "12"}, "Scope '1' of cmdb has no parent '12'."),
        ("POST", "/modules", {"name": "n" * 10_000}, "2 values are refused: /name, /name."),
        (
            "PATCH",
            "/modules/cmdb.1.10.1",
            {"data": b"[]", "content_type": "application/json"},
            "The body must be a JSON",
        ),
        ("PATCH", "/modules/cmdb.1.10.1", {"scope": "2"}, "The field 'scope' cannot be changed after the module was"),
    ],
)
def test_details(
    client: FlaskClient, cmdb: FakeBackend, method: str, path: str, arguments: dict[str, Any], expected: str
) -> None:
    """The detail says which value was refused, and what would be taken."""
    if method in {"POST", "PATCH"} and "data" not in arguments:
        arguments = {"json": body(cmdb, **arguments) if method == "POST" else arguments}
    assert client.open(path, method=method, **arguments).get_json()["detail"].startswith(expected)


def test_an_older_message() -> None:
    """A message that an older version stored without a value that the text has now is readable."""
    assert str(Message("at_most", {"maximum": 5})) == "'?' must be at most 5."
    assert FieldError("/name", "pattern", message("pattern", value="a"), verbatim("b")).detail.endswith("Allowed: b.")


def test_every_message_is_used() -> None:
    """Each message key occurs in the source of the gateway, and each key in the source has a text."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "gateway").rglob("*.py"))
    used = set(re.findall(r'\bmessage\(\s*"(\w+)"', source)) | {"name_taken_in_parent", "name_taken_in_scope"}
    used |= {f"field_code_{code}" for code in FIELD_ERROR_CODES} | REGISTRY.keys() & MESSAGES.keys()
    used |= {*_MESSAGE_KEYS.values(), *(key for _, key in _VALIDATOR_CODES.values())}
    used |= {f"response_{reason}" for reason in re.findall(r'[._]invalid_response\(f?"(\w+)"', source)}
    nouns = ("modules", "sets", "members", "businesses", "projects")
    used |= {"verbatim", *(f"response_no_{noun}" for noun in nouns)}
    assert used == set(MESSAGES)


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def _localized_texts(document: dict[str, Any]) -> set[tuple[str, str, str | None]]:
    return {(error["pointer"], error["detail"], error.get("allowed")) for error in document["errors"]}


def _without_localized_texts(document: dict[str, Any]) -> dict[str, Any]:
    errors = [{name: error[name] for name in ("pointer", "code")} for error in document["errors"]]
    return {**document, "title": "", "detail": "", "request_id": "", "errors": errors}
