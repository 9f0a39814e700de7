"""Generates the random keys that compose.yaml needs, and writes each to the volume of the service that reads it.

The service `keys` runs this program as root, with one volume per reading service below the given folder. Existing keys
are kept.
"""
# ruff: noqa: INP001 - a standalone program

from __future__ import annotations

import json
import os
import secrets
import sys
from hashlib import sha256
from pathlib import Path
from typing import Final

#: The user id of the gateway's image; PostgreSQL reads its password while it still runs as root.
_UID: Final = 10001

Files = dict[str, dict[str, str]]


def make() -> Files:
    """Generate new keys and return the content of each file by folder and file name."""
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
    """Write the key files and return True; return False if all exist.

    Raises SystemExit if only some exist, because the files of one run belong together.
    """
    present = [folder / reader / name for reader, texts in files.items() for name in texts]
    existing = sum(path.exists() for path in present)
    if existing:
        if existing < len(present):
            raise SystemExit("some keys are missing: run 'docker compose down --volumes' to generate all keys again")
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
