"""The console: static files of this host alone, under a policy that refuses inline code and markup from strings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from gateway.api.routes import console
from gateway.domain.errors import REGISTRY
from gateway.domain.operation import State
from tests.unit.api.problems import assert_problem
from tests.unit.api.test_docs import References

FOLDER = Path(console.__file__).parents[1] / "console"
NAMES = sorted(path.name for path in FOLDER.iterdir())
SCRIPTS = [name for name in NAMES if name.endswith(".js")]
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}


@pytest.mark.parametrize("prefix", ["", "/mounted"])
def test_addresses(client: FlaskClient, prefix: str) -> None:
    """/console leads to /console/ and / to the console, by relative addresses, which a mount point does not change."""
    for path, location in (("/console", "console/"), ("/", "console/")):
        response = client.get(path, headers={"X-Forwarded-Prefix": prefix})
        assert (response.status_code, response.headers["Location"]) == (302, location)
    page = client.get("/console/", buffered=True)
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")


def test_references(client: FlaskClient) -> None:
    """The page and its modules refer to files beside them, all of which are served; none is inline or unused."""
    page = References()
    page.feed(client.get("/console/", buffered=True).text)
    assert page.inline == []
    imports = {name for script in SCRIPTS for name in re.findall(r'from "\./([^"]+)"', (FOLDER / script).read_text())}
    assert {url for url in page.urls if not url.startswith("#")} | imports == {*NAMES} - {"index.html"}
    for name in {*NAMES} - {"index.html"}:
        response = client.get(f"/console/{name}", buffered=True)
        assert (response.status_code, response.content_type) == (200, TYPES[Path(name).suffix])


@pytest.mark.parametrize("name", NAMES)
def test_own_code(name: str) -> None:
    """No file names another host, builds markup from strings or stores anything in the browser."""
    text = (FOLDER / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
    assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie|@import|\burl\(", text)


def test_texts() -> None:
    """Every text that the scripts name exists, and has an English and a Chinese version."""
    scripts = {name: (FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS}
    entries = re.findall(r'^  "?([\w.]+)"?: \["(.*)", "(.*)"\],$', scripts["i18n.js"], re.MULTILINE)
    names = {name for name, *_ in entries}
    assert len(names) == len(entries) > 200
    assert all(english.isascii() or "…" in english or "–" in english for _, english, _ in entries)
    assert all(re.search("[\u4e00-\u9fff]|API|–", chinese) for *_, chinese in entries)
    used = {name for text in scripts.values() for name in re.findall(r'\bt\("([\w.]+)"', text)}
    assert used <= names
    problem_codes = {name.removeprefix("next.") for name in names if name.startswith("next.")}
    own_codes = {"unknown", "operator", "correct", "retry", "retry_after", "no_response"}
    assert problem_codes <= {*REGISTRY} | own_codes
    states = {f"state.{state.value}{suffix}" for state in State for suffix in ("", ".meaning")}
    assert states <= names


@pytest.mark.parametrize("path", ["/console/", "/console/app.js", "/console/console.css"])
def test_headers(client: FlaskClient, path: str) -> None:
    """Files need no credentials and no Accept with JSON; they have the policy, and 304 answers a known ETag."""
    first = client.get(path, headers={"Accept": "text/html", "Range": "bytes=0-9"}, buffered=True)
    policy = dict(part.strip().split(" ", 1) for part in first.headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert first.status_code == 200
    assert first.headers["Cache-Control"] == "no-cache"  # all files are of one version
    again = client.get(path, headers={"If-None-Match": first.headers["ETag"]}, buffered=True)
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("name", ["nope.js", "..", "%2e%2e", "..%2froutes%2fdocs.py", "app.js%00", "a/b"])
def test_other_files(client: FlaskClient, name: str) -> None:
    """A file that is not the console's is not served."""
    assert_problem(client.get(f"/console/{name}"), 404, "not_found")
