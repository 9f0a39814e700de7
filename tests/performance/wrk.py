"""Load at saturation, from wrk: as many requests as the server can take on a fixed number of connections."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_SCRIPT: Final = Path(__file__).with_name("load.lua")


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A kind of request; each `@` becomes a number that no other request has."""

    path: str
    method: str = "GET"
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Load:
    """What came of a run."""

    requests: int
    seconds: float


def program() -> str:
    """Return where wrk is; raises FileNotFoundError that says what to install."""
    found = shutil.which("wrk")
    if found is None:
        raise FileNotFoundError("wrk is missing: apt-get install wrk")
    return found


def fire(address: str, shot: Shot, run: str, *, seconds: int, connections: int = 16) -> Load:
    """Load one server; RuntimeError where a single request failed: what fails costs something else."""
    command = [program(), "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=10s"]
    arguments = [shot.method, run, shot.body, *(f"{name}={value}" for name, value in shot.headers.items())]
    done = subprocess.run(
        [*command, f"--script={_SCRIPT}", f"http://{address}{shot.path}", "--", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
    )
    return read(done.stdout)


def read(output: str) -> Load:
    """Read the line that the script writes at the end."""
    told = json.loads(output.rstrip().rpartition("\n")[2])
    failed = {kind: told[kind] for kind in ("broken", "refused", "late") if told[kind]}
    if failed or not told["requests"]:
        raise RuntimeError(f"of {told['requests']} requests failed: {failed}")
    return Load(requests=told["requests"], seconds=told["microseconds"] / 1e6)
