"""The console below a mount point, of a gateway that requires API keys."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenConsole
from tests.integration.chaos.testbed import GatewayTestbed, Topology, run_testbed

pytestmark = pytest.mark.loopback
AUTH = f"""
[auth]
mode = "required"
[[callers]]
name = "portal"
api_key_sha256 = "{sha256(b"portal-key").hexdigest()}"
allow = ["*:cmdb:*"]
"""


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayTestbed]:
    """A gateway at /gateway that requires a key."""
    topology = Topology(workers=1, auth=AUTH, environ={"SCRIPT_NAME": "/gateway"}, ready_path="/gateway/readyz")
    with run_testbed(tmp_path_factory.mktemp("console"), topology) as testbed:
        yield testbed


@pytest.mark.parametrize("path", ["", "/"])
def test_key(open_console: OpenConsole, testbed: GatewayTestbed, path: str) -> None:
    """The page asks for a key, shows what its caller may see, and keeps the key in memory only."""
    console = open_console(testbed, path, mount="/gateway")
    page = console.page
    expect(console.problem.first).to_contain_text("Enter a valid API key")
    for key in ("wrong", "portal-key"):
        page.locator("#api-key").fill(key)
        page.locator("dialog button[type=submit]").click()
    expect(page.locator("[role=treeitem]").first).to_be_visible()
    assert page.locator("#connection option").all_text_contents() == ["cmdb · BlueKing CMDB"]
    stored = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
    assert stored == [0, 0, ""]
    console.go("#/changes")
    expect(console.problem).to_contain_text("Ask the operator")
    page.reload()
    expect(page.locator("#api-key")).to_be_visible()
