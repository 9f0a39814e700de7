"""The interactive page in a browser: it shows every operation, and its own policy stands in nothing's way."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from flask import Flask

from gateway.api import openapi
from gateway.domain.backend import Backend
from gateway.twins.server import running
from tests.conftest import VirtualClock
from tests.unit.api.connections import create_backends

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.loopback,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH: the page is not opened in a browser"),
]
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--enable-logging=stderr", "--v=0", "--virtual-time-budget=8000", "--dump-dom",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


@pytest.fixture
def base_url(build: Callable[[Mapping[str, Backend]], Flask], clock: VirtualClock) -> Iterator[str]:
    """The service on a port of its own."""
    with running(build(create_backends(clock))) as url:
        yield url


def _open(url: str, profile: Path) -> tuple[str, list[str]]:
    """Open a page; return the document as the browser holds it in the end, and the lines of its console."""
    done = subprocess.run(
        [str(CHROMIUM), *OPTIONS, f"--user-data-dir={profile}", url],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


def test_operations(base_url: str, tmp_path: Path) -> None:
    """Every operation of the document is there with its address, and the console is empty: no violation, no failure."""
    page, console = _open(f"{base_url}/docs", tmp_path)
    assert console == []
    for path, operations in openapi.build()["paths"].items():
        assert f'data-path="{path}"' in page
        assert all(f"-{operation['operationId']}" in page for operation in operations.values())


def test_a_form(base_url: str, tmp_path: Path) -> None:
    """An address within the page unfolds an operation with its parameters, its body and a button to send it."""
    page, console = _open(f"{base_url}/docs#/modules/createModule", tmp_path)
    assert console == []
    for words in ("if_exists", "validate_only", "application/json", "Execute"):
        assert words in page


def test_the_console_is_heard(base_url: str, tmp_path: Path) -> None:
    """A page that breaks its policy is heard: the two tests above would fail of it."""
    _, console = _open(f"{base_url}/docs/docs.js", tmp_path / "script")
    assert console == []
    page = tmp_path / "page.html"
    page.write_text(
        "<meta http-equiv=Content-Security-Policy content=\"script-src 'self'\"><script>alert(1)</script>",
        encoding="utf-8",
    )
    _, console = _open(page.as_uri(), tmp_path / "page")
    assert any("Content Security Policy" in line for line in console)
