"""Chromium in front of the real gateway and both twins; every test also proves that its pages stay on their origin."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.console import Console
from tests.integration.chaos.testbed import GatewayTestbed, Topology, run_testbed

CHROMIUM: Final = shutil.which("chromium")
NPM: Final = shutil.which("npm")
_OPTIONS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
_AXE: Final = "axe-core@4.14.1"
_AXE_SHA512: Final = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    if CHROMIUM is None:
        pytest.skip("chromium is not on the PATH")
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayTestbed]:
    """The gateway without authentication, and both twins; a lost create is settled within eight seconds."""
    with run_testbed(tmp_path_factory.mktemp("console"), Topology(workers=1, settle=8.0)) as testbed:
        yield testbed


OpenConsole = Callable[..., Console]


@pytest.fixture
def open_console(browser: Browser) -> Iterator[OpenConsole]:
    """Opens a window with the console of a gateway; after the test no page has failed or left its origin."""
    pages: list[tuple[Page, str]] = []
    faults: list[str] = []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda entry: faults.append(entry.text) if entry.type in {"error", "warning"} else None)

    def open_window(testbed: GatewayTestbed, path: str = "", *, mount: str = "", **options: object) -> Console:
        origin = f"http://{testbed.addresses[0]}"
        context = browser.new_context(**{"locale": "en-US", "viewport": {"width": 1280, "height": 860}, **options})  # type: ignore[arg-type]
        page = context.new_page()
        page.set_default_timeout(20_000)
        pages.append((page, origin))
        page.on("request", lambda sent: None if sent.url.startswith((origin, "blob:")) else faults.append(sent.url))
        watch(page)
        page.goto(f"{origin}{mount}/console{path}")
        return Console(page)

    yield open_window
    for page, _ in pages:
        page.context.close()
    # Chromium also logs each answer with an error's status.
    assert [fault for fault in faults if not fault.startswith("Failed to load resource")] == []


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core, whose package has this hash."""
    if NPM is None:
        pytest.skip("npm is not on the PATH")
    folder = tmp_path_factory.mktemp("axe")
    command = [NPM, "pack", _AXE, "--silent", "--pack-destination", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=folder)
    if result.returncode:
        pytest.skip(f"npm does not get {_AXE}: {result.stderr[-200:]}")
    [archive] = Path(folder).glob("*.tgz")
    assert base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() == _AXE_SHA512
    with tarfile.open(archive) as package:
        script = package.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()
