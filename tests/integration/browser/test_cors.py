"""A page of another origin in a browser: it works where it is listed, and where it is not the browser refuses it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from flask import Flask

from gateway.api import cors
from gateway.twins.server import running
from tests.integration.browser.chromium import needs_chromium, open_page
from tests.unit.api.callers import auth, caller
from tests.unit.api.connections import capabilities
from tests.unit.api.fake_backend import FakeBackend

pytestmark = [pytest.mark.loopback, needs_chromium]
Frontend = Callable[[str], tuple[dict[str, Any], list[str]]]
#: A frontend in small: it creates, is refused, asks for what is not there, and writes down what it could read.
PAGE: Final = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><pre id="told"></pre><script>
const api = new URLSearchParams(location.search).get("api"), told = {};
async function ask(what, path, init) {
  try {
    const reply = await fetch(api + path, init);
    const text = await reply.text(), headers = Object.fromEntries(reply.headers);
    told[what] = {status: reply.status, headers, body: text && JSON.parse(text)};
  } catch (error) {
    told[what] = {refused: error.name};
  }
}
(async () => {
  const proof = {"X-Api-Key": "portal-key"};
  const headers = {...proof, "Content-Type": "application/json", "Idempotency-Key": "k-1", "X-Request-Id": "page-1"};
  const owners = ["admin"], sent = {backend: "cmdb", scope: "1", parent: "10", name: "demo", owners};
  const body = JSON.stringify(sent);
  await ask("simple", "/errors");
  await ask("created", "/modules", {method: "POST", headers, body});
  await ask("replayed", "/modules", {method: "POST", headers, body});
  await ask("taken", "/modules", {method: "POST", headers: {...headers, "Idempotency-Key": "k-2"}, body});
  await ask("changed", "/modules/cmdb.1.10.1", {method: "PATCH", headers, body: '{"name": "new"}'});
  await ask("deleted", "/modules/cmdb.1.10.1", {method: "DELETE", headers: proof});
  await ask("nowhere", "/nope", {method: "DELETE", headers: {...proof, "Accept-Language": "zh-CN"}});
  await ask("unknown", "/modules?backend=cmdb&scope=1", {headers: {"X-Api-Key": "wrong"}});
  document.getElementById("told").textContent = JSON.stringify(told);
})();
</script>"""


@pytest.fixture
def cmdb() -> FakeBackend:
    return FakeBackend("cmdb", capabilities("cmdb"), scopes=("1",), parents=("10",))


@pytest.fixture
def page() -> Iterator[str]:
    """A web server with the page; its address is the page's origin."""
    app = Flask("frontend")
    app.add_url_rule("/", view_func=lambda: PAGE)
    with running(app) as url:
        yield url


@pytest.fixture
def opened(build: Callable[..., Flask], cmdb: FakeBackend, page: str, tmp_path: Path) -> Frontend:
    """Open the page against a service that lists one origin: what it could read, and the lines of its console."""

    def under(listed: str) -> tuple[dict[str, Any], list[str]]:
        service = build({"cmdb": cmdb}, auth(caller("portal", "*:*:*")))
        cors.init_app(service, [listed], 600.0)
        with running(service) as url:
            document, console = open_page(f"{page}/?{urlencode({'api': url})}", tmp_path)
        told = re.search(r'<pre id="told">(.+)</pre>', document, re.DOTALL)
        assert told is not None, document
        return json.loads(html.unescape(told[1])), console

    return under


def test_listed(opened: Frontend, page: str, cmdb: FakeBackend) -> None:
    """A listed page creates, changes and deletes, and reads every header and error that it needs."""
    told, console = opened(page)
    assert {what: reply.get("status") for what, reply in told.items()} == {
        "simple": 200, "created": 201, "replayed": 201, "taken": 409, "changed": 200, "deleted": 204, "nowhere": 404,
        "unknown": 401,
    }  # fmt: skip
    assert not [line for line in console if "CORS" in line]
    created, replayed = told["created"]["headers"], told["replayed"]["headers"]
    assert created["location"] == "/modules/cmdb.1.10.1"
    assert (created["gateway-outcome"], created["x-request-id"]) == ("applied", "page-1")
    assert "upstream;dur=" in created["server-timing"]
    assert replayed["idempotency-replayed"] == "true"
    assert told["taken"]["body"]["code"] == "module_already_exists"
    assert told["taken"]["headers"]["gateway-outcome"] == "not_applied"
    assert (told["nowhere"]["headers"]["content-language"], told["nowhere"]["body"]["title"]) == (
        "zh-Hans",
        "地址不存在",
    )
    assert told["unknown"]["body"]["code"] == "unauthenticated"
    assert [operation for operation, _ in cmdb.writes] == ["create", "create", "update", "delete"]


def test_unlisted(opened: Frontend, page: str, cmdb: FakeBackend) -> None:
    """The same page of an origin that is not listed reads nothing, and nothing of what it wants to write is sent."""
    told, console = opened(page.replace("127.0.0.1", "portal.example.com"))
    assert {json.dumps(reply) for reply in told.values()} == {'{"refused": "TypeError"}'}
    assert [line for line in console if "blocked by CORS policy" in line]
    assert cmdb.sent == []
