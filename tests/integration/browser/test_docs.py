"""The interactive documentation in a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from flask import Flask

from gateway.api import openapi
from gateway.domain.backend import Backend
from gateway.twins.server import running
from tests.conftest import VirtualClock
from tests.integration.browser.chromium import needs_chromium, open_page
from tests.unit.backends.connections import create_backends

pytestmark = [pytest.mark.loopback, needs_chromium]


@pytest.fixture
def base_url(build: Callable[[Mapping[str, Backend]], Flask], clock: VirtualClock) -> Iterator[str]:
    """The URL of a running gateway."""
    with running(build(create_backends(clock))) as url:
        yield url


def test_operations(base_url: str, tmp_path: Path) -> None:
    """The page shows every operation with its path, and the console has no error or policy violation."""
    document, console = open_page(f"{base_url}/docs", tmp_path)
    assert console == []
    for path, operations in openapi.build()["paths"].items():
        assert f'data-path="{path}"' in document
        assert all(f"-{operation['operationId']}" in document for operation in operations.values())


def test_form(base_url: str, tmp_path: Path) -> None:
    """The fragment of an operation opens it, with its parameters, its body and a button to send it."""
    document, console = open_page(f"{base_url}/docs#/modules/createModule", tmp_path)
    assert console == []
    for text in ("if_exists", "validate_only", "application/json", "Execute"):
        assert text in document


def test_console_shows_violations(base_url: str, tmp_path: Path) -> None:
    """A policy violation appears in the console, so that the tests above detect one."""
    _, console = open_page(f"{base_url}/docs/docs.js", tmp_path / "script")
    assert console == []
    page = tmp_path / "page.html"
    page.write_text(
        "<meta http-equiv=Content-Security-Policy content=\"script-src 'self'\"><script>alert(1)</script>",
        encoding="utf-8",
    )
    _, console = open_page(page.as_uri(), tmp_path / "page")
    assert any("Content Security Policy" in line for line in console)
