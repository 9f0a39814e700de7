"""Makes every key that compose.yaml needs, at random, once, and lays each where only its reader finds it.

Run as root by the service `keys`, with one volume a reader below the folder given. Keys that are there stay.
"""
# ruff: noqa: INP001 - a program of its own

from __future__ import annotations

import json
import os
import secrets
import sys
from hashlib import sha256
from pathlib import Path
from typing import Final

#: The account of the gateway's image; PostgreSQL's reads its password while it is still root.
_UID: Final = 10001

Files = dict[str, dict[str, str]]


def make() -> Files:
    """Make new keys: the text of each file, by its reader's folder."""
    developer, password, app_secret = (secrets.token_urlsafe(32) for _ in range(3))
    access_key, secret_key = secrets.token_hex(10).upper(), secrets.token_hex(20)
    return {
        "gateway": {
            "journal_url": f"postgresql://gateway:{password}@database/gateway",
            "developer_sha256": sha256(developer.encode()).hexdigest(),
            "cmdb_app_secret": app_secret,
            "projectman_access_key": access_key,
            "projectman_secret_key": secret_key,
        },
        "twins": {
            "cmdb.json": json.dumps({"apps": {"gateway": app_secret}}),
            "projectman.json": json.dumps({"access_keys": {access_key: secret_key}}),
        },
        "database": {"password": password},
        "developer": {"api_key": developer},
    }


def lay(folder: Path, files: Files) -> bool:
    """Write the keys, unless all are there; some of them alone would not fit the others: SystemExit."""
    present = [folder / reader / name for reader, texts in files.items() for name in texts]
    found = sum(path.exists() for path in present)
    if found:
        if found < len(present):
            raise SystemExit("some keys are missing: 'docker compose down --volumes' makes a new start")
        return False
    for reader, texts in files.items():
        for name, text in texts.items():
            path = folder / reader / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o400)
            if os.geteuid() == 0:
                os.chown(path, _UID, _UID)
    return True


if __name__ == "__main__":
    lay(Path(sys.argv[1]), make())
