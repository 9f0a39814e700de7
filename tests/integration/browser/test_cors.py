"""A page of another origin in a browser works if its origin is listed, else the browser blocks it."""

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
from gateway.settings import CorsConfig
from gateway.twins.server import running
from tests.integration.browser.chromium import needs_chromium, open_page
from tests.unit.api.callers import auth, caller
from tests.unit.api.conftest import capabilities
from tests.unit.api.fake_backend import FakeBackend

pytestmark = [pytest.mark.loopback, needs_chromium]
Frontend = Callable[[str], tuple[dict[str, Any], list[str]]]
#: A small frontend that sends several requests and writes the responses that it can read into the page.
PAGE: Final = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><pre id="results"></pre><script>
const api = new URLSearchParams(location.search).get("api"), results = {};
async function send(name, path, init) {
  try {
    const response = await fetch(api + path, init);
    const text = await response.text(), headers = Object.fromEntries(response.headers);
    results[name] = {status: response.status, headers, body: text && JSON.parse(text)};
  } catch (error) {
    results[name] = {refused: error.name};
  }
}
(async () => {
  const credential = {"X-Api-Key": "portal-key"};
  const ids = {"Idempotency-Key": "k-1", "X-Request-Id": "page-1"};
  const headers = {...credential, ...ids, "Content-Type": "application/json"};
  const owners = ["admin"], module = {backend: "cmdb", scope: "1", parent: "10", name: "demo", owners};
  const body = JSON.stringify(module);
  await send("simple", "/errors");
  await send("created", "/modules", {method: "POST", headers, body});
  await send("replayed", "/modules", {method: "POST", headers, body});
  await send("taken", "/modules", {method: "POST", headers: {...headers, "Idempotency-Key": "k-2"}, body});
  await send("changed", "/modules/cmdb.1.10.1", {method: "PATCH", headers, body: '{"name": "new"}'});
  await send("deleted", "/modules/cmdb.1.10.1", {method: "DELETE", headers: credential});
  await send("nowhere", "/nope", {method: "DELETE", headers: {...credential, "Accept-Language": "zh-CN"}});
  await send("unknown", "/modules?backend=cmdb&scope=1", {headers: {"X-Api-Key": "wrong"}});
  document.getElementById("results").textContent = JSON.stringify(results);
})();
</script>"""


@pytest.fixture
def cmdb() -> FakeBackend:
    return FakeBackend("cmdb", capabilities("cmdb"), scopes=("1",), parents=("10",))


@pytest.fixture
def page() -> Iterator[str]:
    """A web server with the page; its URL is the page's origin."""
    app = Flask("frontend")
    app.add_url_rule("/", view_func=lambda: PAGE)
    with running(app) as url:
        yield url


@pytest.fixture
def open_frontend(build: Callable[..., Flask], cmdb: FakeBackend, page: str, tmp_path: Path) -> Frontend:
    """Opens the page with a gateway that lists one origin; returns its results and the lines of its console."""

    def open_with(origin: str) -> tuple[dict[str, Any], list[str]]:
        service = build({"cmdb": cmdb}, auth(caller("portal", "*:*:*")))
        cors.init_app(service, CorsConfig((origin,)))
        with running(service) as url:
            document, console = open_page(f"{page}/?{urlencode({'api': url})}", tmp_path)
        match = re.search(r'<pre id="results">(.+)</pre>', document, re.DOTALL)
        assert match is not None, document
        return json.loads(html.unescape(match[1])), console

    return open_with


def test_listed_origin(open_frontend: Frontend, page: str, cmdb: FakeBackend) -> None:
    """A page of a listed origin creates, changes and deletes, and can read headers and errors."""
    results, console = open_frontend(page)
    assert {name: response.get("status") for name, response in results.items()} == {
        "simple": 200, "created": 201, "replayed": 201, "taken": 409, "changed": 200, "deleted": 204, "nowhere": 404,
        "unknown": 401,
    }  # fmt: skip
    assert not [line for line in console if "CORS" in line]
    created, replayed = results["created"]["headers"], results["replayed"]["headers"]
    assert created["location"] == "/modules/cmdb.1.10.1"
    assert (created["gateway-outcome"], created["x-request-id"]) == ("applied", "page-1")
    assert "upstream;dur=" in created["server-timing"]
    assert replayed["idempotency-replayed"] == "true"
    assert results["taken"]["body"]["code"] == "module_already_exists"
    assert results["taken"]["headers"]["gateway-outcome"] == "not_applied"
    assert (results["nowhere"]["headers"]["content-language"], results["nowhere"]["body"]["title"]) == (
        "zh-Hans",
        "地址不存在",
    )
    assert results["unknown"]["body"]["code"] == "unauthenticated"
    assert [operation for operation, _ in cmdb.writes] == ["create", "create", "update", "delete"]


def test_unlisted_origin(open_frontend: Frontend, page: str, cmdb: FakeBackend) -> None:
    """A page of an unlisted origin can read nothing, and none of its writes is sent."""
    results, console = open_frontend(page.replace("127.0.0.1", "portal.example.com"))
    assert {json.dumps(response) for response in results.values()} == {'{"refused": "TypeError"}'}
    assert [line for line in console if "blocked by CORS policy" in line]
    assert cmdb.sent == []
