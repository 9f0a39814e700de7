"""The pictures of the README; with CONSOLE_PICTURES=1 they are written to deploy/pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenConsole
from tests.browser.test_console import ambiguous_operation, create
from tests.integration.chaos.testbed import GatewayTestbed
from tests.integration.deploy.charts import ROOT

pytestmark = pytest.mark.loopback
PICTURES: Final = ROOT / "deploy" / "pictures"
NAMES: Final = (
    "accounts", "billing", "cart", "catalog", "checkout", "delivery", "frontend", "gateway", "invoices", "loyalty",
    "mail", "orders", "payments", "pricing", "recommendations", "search",
)  # fmt: skip


def test_pictures(open_console: OpenConsole, testbed: GatewayTestbed, tmp_path: Path) -> None:
    """Both pictures of the README can be taken, are small, and are in the repository."""
    folder = PICTURES if os.environ.get("CONSOLE_PICTURES") else tmp_path
    folder.mkdir(exist_ok=True)
    modules = {name: create(testbed, name) for name in NAMES}
    operation = ambiguous_operation(testbed, modules["payments"])
    console = open_console(
        testbed, f"/#/modules?module={modules['checkout']['id']}", viewport={"width": 1200, "height": 760}
    )
    expect(console.item("checkout")).to_be_visible()
    console.page.locator("[role=tree]").evaluate("tree => { tree.scrollTop = 36 }")
    console.page.screenshot(path=folder / "console-modules.png")
    console.go(f"#/operations/{operation}")
    expect(console.page.locator("#candidate")).not_to_have_value("")
    console.page.locator("#reason").fill("The backend's log shows this create, and no other.")
    console.page.screenshot(path=folder / "console-operation.png")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("console-modules.png", "console-operation.png"):
        assert 10_000 < (folder / name).stat().st_size < 150_000
        assert (PICTURES / name).exists()
        assert f"deploy/pictures/{name}" in readme
