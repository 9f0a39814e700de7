"""The Swagger UI page: all its files are served by the gateway, under a strict Content-Security-Policy."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from flask.testing import FlaskClient

from tests.unit.api.problems import assert_problem

TYPES = {
    "docs/docs.css": "text/css; charset=utf-8",
    "docs/swagger-ui.css": "text/css; charset=utf-8",
    "docs/docs.js": "text/javascript; charset=utf-8",
    "docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "docs/favicon-32x32.png": "image/png",
    "openapi.json": "application/json",
}


class References(HTMLParser):
    """Collects the references of a page, and its inline scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: set[str] = set()
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.urls |= {value for name in ("src", "href") if (value := attributes.get(name))}
        self.inline += [name for name in attributes if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in attributes):
            self.inline.append(tag)


@pytest.fixture
def page(client: FlaskClient) -> References:
    """The page's references."""
    references = References()
    references.feed(client.get("/docs", buffered=True).get_data(as_text=True))
    return references


def test_references(client: FlaskClient, page: References) -> None:
    """The page refers to exactly these files by relative URLs; each is served with its content type."""
    assert page.urls == TYPES.keys()
    for reference, content_type in TYPES.items():
        response = client.get(f"/{reference}", buffered=True)
        assert (response.status_code, response.content_type) == (200, content_type)
        assert len(response.data) > 50


def test_no_inline_code(page: References) -> None:
    """The page has no inline script or style, which the policy forbids."""
    assert page.inline == []


def test_own_files(client: FlaskClient) -> None:
    """The page's own script and style refer to no other host; the external validator is disabled."""
    for name in ("docs.js", "docs.css"):
        assert not re.search(r"(?:https?:)?//(?! )", client.get(f"/docs/{name}", buffered=True).text)
    assert "validatorUrl: null" in client.get("/docs/docs.js", buffered=True).text


def test_style_sheets(client: FlaskClient) -> None:
    """The style sheets embed their images."""
    for name in ("docs.css", "swagger-ui.css"):
        text = client.get(f"/docs/{name}", buffered=True).text
        assert all(url.startswith("data:") for url in re.findall(r"""url\(["']?([^"')]+)""", text))
        assert "@import" not in text


@pytest.mark.parametrize("path", ["/docs", "/docs/docs.js", "/docs/swagger-ui-bundle.js"])
def test_policy(client: FlaskClient, path: str) -> None:
    """The policy permits scripts, styles and requests of this host only, and neither evaluation nor frames."""
    directives = dict(
        directive.strip().split(" ", 1)
        for directive in client.get(path, buffered=True).headers["Content-Security-Policy"].split(";")
    )
    assert directives == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize(
    "name",
    [
        "nope.js",
        "index.html",
        "..",
        "%2e%2e",
        "..%2fdocuments.py",
        "docs.js%00",
        "swagger-ui.js",
        "oauth2-redirect.html",
    ],
)
def test_other_files(client: FlaskClient, name: str) -> None:
    """A file that is not listed is not served."""
    assert_problem(client.get(f"/docs/{name}"), 404, "not_found")


@pytest.mark.parametrize("path", ["/docs", "/docs/docs.js"])
@pytest.mark.parametrize("value", ["bytes=0-9", "bytes=99999999-", "bytes=-0", "pages=1"])
def test_range(client: FlaskClient, path: str, value: str) -> None:
    """A Range header is ignored, as HTTP permits: the whole file is sent."""
    response = client.get(path, headers={"Range": value}, buffered=True)
    assert response.status_code == 200
    assert len(response.data) > 50


@pytest.mark.parametrize("path", ["/docs", "/docs/swagger-ui.css"])
def test_caching(client: FlaskClient, path: str) -> None:
    """A conditional request is 304; assets may be cached for an hour, the page must be revalidated."""
    first = client.get(path, buffered=True)
    response = client.get(path, headers={"If-None-Match": first.headers["ETag"]}, buffered=True)
    assert (response.status_code, response.data) == (304, b"")
    assert first.headers["Cache-Control"] == ("no-cache" if path == "/docs" else "max-age=3600")


@pytest.mark.parametrize("accept", ["text/html", "text/css,*/*;q=0.1", "image/png"])
def test_accept(client: FlaskClient, accept: str) -> None:
    """The page and its assets are not JSON: an Accept without JSON is no error."""
    assert client.get("/docs", headers={"Accept": accept}, buffered=True).status_code == 200


def test_same_document(client: FlaskClient) -> None:
    """The OpenAPI document is the same in every response."""
    assert client.get("/openapi.json").data == client.get("/openapi.json").data
