"""How long a gateway takes from nothing to its first answer at /readyz."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from tests.performance.site import Starter

_STARTS: Final = 5


def measure(folder: Path, backend: str) -> Mapping[str, Any]:
    """Start a gateway several times, each with a new journal, and take the median."""
    folder.mkdir()
    told = []
    for number in range(_STARTS + 1):
        with ExitStack() as stack:
            told.append(Starter(folder, stack).gateway(f"start{number}", backend).ready_seconds)
    told = told[1:]  # the first one found cold files
    return {"seconds": statistics.median(told), "starts": told}
