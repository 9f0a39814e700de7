"""The gateway that is measured, with everything on: the one place to change when there is more to be on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: How callers are asked who they are, "required" or "none"; every row of the gateway follows.
AUTH: Final = "required"
_KEY: Final = "benchmark-key-of-forty-three-characters-000"

_FILE: Final = """
[server]
deadline_seconds = 10
[journal]
url = "sqlite:///{journal}"
[auth]
mode = "{auth}"
{callers}
[backends.cmdb]
type = "cmdb"
base_url = "{cmdb}"
app_code = "gateway"
app_secret = "env:BENCH_SECRET"
username = "admin"
[backends.projectman]
type = "projectman"
base_url = "{projectman}"
access_key = "AKTEST"
secret_key = "env:BENCH_SECRET"
"""
_CALLER: Final = """
[[callers]]
name = "portal"
api_key_sha256 = "{digest}"
allow = ["*:cmdb:*", "*:projectman:*"]
"""


def headers(auth: str = AUTH) -> Mapping[str, str]:
    """Return what every request to the gateway carries: its own id and, where callers are asked who they are, a key."""
    identity = {"Authorization": f"Bearer {_KEY}"} if auth == "required" else {}
    return {"Content-Type": "application/json", "X-Request-Id": "r@", **identity}


def write(folder: Path, backend: str, *, auth: str = AUTH) -> Mapping[str, str]:
    """Write a configuration into a new folder, with a journal beside it; return the environment that names it."""
    folder.mkdir()
    figures = folder / "metrics"
    figures.mkdir()
    path = folder / "gateway.toml"
    digest = hashlib.sha256(_KEY.encode()).hexdigest()
    path.write_text(
        _FILE.format(
            journal=journal(folder),
            auth=auth,
            callers=_CALLER.format(digest=digest) if auth == "required" else "",
            cmdb=backend,
            projectman=backend,
        ),
        encoding="utf-8",
    )
    return {
        "GATEWAY_CONFIG": str(path),
        "BENCH_SECRET": "secret",
        "PROMETHEUS_MULTIPROC_DIR": str(figures),
    }


def journal(folder: Path) -> Path:
    """Return where the journal of a configuration is."""
    return folder / "journal.db"
