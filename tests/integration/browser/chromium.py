"""Opens a page in headless Chromium and returns its document and console."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

import pytest

CHROMIUM: Final = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on the PATH")
#: Headless, no background network traffic, only loopback addresses; the page has 8 s of virtual time.
_OPTIONS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--enable-logging=stderr", "--v=0", "--virtual-time-budget=8000", "--dump-dom",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


class Page(NamedTuple):
    """The final document and the lines of the console."""

    document: str
    console: list[str]


def open_page(url: str, profile: Path) -> Page:
    """Open a page with a new profile."""
    process = subprocess.run(
        [str(CHROMIUM), *_OPTIONS, f"--user-data-dir={profile}", url],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return Page(process.stdout, [line for line in process.stderr.splitlines() if ":CONSOLE" in line])
