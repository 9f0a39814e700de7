"""The configuration of the measured gateway, with all features enabled."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.performance.messages import API_KEY

_FILE: Final = """
[server]
deadline_seconds = 10
[journal]
url = "sqlite:///{folder}/journal.db"
[auth]
mode = "required"
[[callers]]
name = "portal"
api_key_sha256 = "{digest}"
allow = ["*:cmdb:*", "*:projectman:*"]
[backends.cmdb]
type = "cmdb"
base_url = "{backend}"
app_code = "gateway"
app_secret = "env:BENCH_SECRET"
username = "admin"
[backends.projectman]
type = "projectman"
base_url = "{backend}"
access_key = "AKTEST"
secret_key = "env:BENCH_SECRET"
"""


def write(folder: Path, backend: str) -> Mapping[str, str]:
    """Write the configuration of a gateway into its folder; return its environment variables."""
    folder.mkdir(parents=True, exist_ok=True)
    path, digest = folder / "gateway.toml", sha256(API_KEY.encode()).hexdigest()
    path.write_text(_FILE.format(folder=folder, digest=digest, backend=backend), encoding="utf-8")
    return {"GATEWAY_CONFIG": str(path), "BENCH_SECRET": "secret"}
