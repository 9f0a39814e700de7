"""The configuration of the measured gateway, with all features enabled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: The authentication mode of every row of the gateway, "required" or "none".
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
    """Return the headers of every request to the gateway: a unique request id and, with authentication, an API key."""
    identity = {"Authorization": f"Bearer {_KEY}"} if auth == "required" else {}
    return {"Content-Type": "application/json", "X-Request-Id": "r@", **identity}


def write(folder: Path, backend: str, *, auth: str = AUTH) -> Mapping[str, str]:
    """Write a configuration into a new folder, which also holds the journal; return the environment variables."""
    folder.mkdir()
    metrics = folder / "metrics"
    metrics.mkdir()
    path = folder / "gateway.toml"
    digest = hashlib.sha256(_KEY.encode()).hexdigest()
    path.write_text(
        _FILE.format(
            journal=journal_path(folder),
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
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
    }


def journal_path(folder: Path) -> Path:
    """Return the path of the journal of a configuration."""
    return folder / "journal.db"
