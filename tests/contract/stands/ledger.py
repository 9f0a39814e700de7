"""What a twin says that it did: the judge of every claim about writes."""

from __future__ import annotations

import json
import urllib.request
from typing import Any


def ledger(url: str) -> list[dict[str, Any]]:
    """Return the writes that took effect, oldest first."""
    with urllib.request.urlopen(f"{url}/twin/ledger", timeout=5) as reply:  # noqa: S310 - a twin on loopback
        told = json.load(reply)
    entries: list[dict[str, Any]] = told if isinstance(told, list) else next(iter(told.values()))
    return entries


def effective_writes(url: str) -> int:
    """Count them."""
    return len(ledger(url))
