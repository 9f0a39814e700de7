"""A real browser without a window: it opens a page, lets it work, and hands back what became of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

import pytest

CHROMIUM: Final = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH: no page is opened in a browser")
#: No window, no house-keeping over the network, no address but the loopback's; the page has 8 seconds of its own time.
_OPTIONS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--enable-logging=stderr", "--v=0", "--virtual-time-budget=8000", "--dump-dom",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


class Opened(NamedTuple):
    """The document as the browser holds it in the end, and the lines of its console."""

    document: str
    console: list[str]


def open_page(url: str, profile: Path) -> Opened:
    """Open a page with a profile of its own."""
    done = subprocess.run(
        [str(CHROMIUM), *_OPTIONS, f"--user-data-dir={profile}", url],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return Opened(done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line])
