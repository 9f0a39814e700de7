"""Lists the writes that arrived, whatever became of them: what was sent, as the ledger is what was applied."""

import hashlib
import json
import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any, Final

from flask import Request

MOST: Final = 100_000  # the oldest go first


class Attempts:
    """Safe to use from many threads; `name_field` is where a body holds the module's name."""

    def __init__(self, name_field: str) -> None:
        self._name_field = name_field
        self._lock = threading.Lock()
        self._kept: deque[dict[str, Any]] = deque(maxlen=MOST)

    def note(self, operation: str, request: Request, labels: list[str]) -> None:
        """Enter a write that has just arrived; of its body, which may hold credentials, only name and digest."""
        body = request.get_data()
        entry = {
            "at": datetime.now(UTC).isoformat(),
            "operation": operation,
            "path": request.path,
            "name": _name(body, self._name_field),
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "request_id": request.headers.get("X-Request-Id"),
            "faults": labels,
        }
        with self._lock:
            self._kept.append(entry)

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._kept.clear()

    def told(self) -> list[dict[str, Any]]:
        """Return them, oldest first."""
        with self._lock:
            return list(self._kept)


def _name(body: bytes, name_field: str) -> str | None:
    """Find the module's name in a body of JSON, at its top or under `data`."""
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for place in (sent, sent.get("data")) if isinstance(sent, dict) else ():
        if isinstance(place, dict) and isinstance(place.get(name_field), str):
            return str(place[name_field])
    return None
