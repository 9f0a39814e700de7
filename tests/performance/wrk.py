"""Runs wrk: load at saturation over a fixed number of connections."""

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
class RequestSpec:
    """A kind of request; each `@` in body and headers is replaced by a number that is unique to the request."""

    path: str
    method: str = "GET"
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Load:
    """The number of requests of a run and its duration."""

    requests: int
    seconds: float


def find_program() -> str:
    """Return the path of wrk; raise FileNotFoundError if it is not installed."""
    path = shutil.which("wrk")
    if path is None:
        raise FileNotFoundError("wrk is missing: apt-get install wrk")
    return path


def run(address: str, spec: RequestSpec, name: str, *, seconds: int, connections: int = 16) -> Load:
    """Load one server; raise RuntimeError if any request fails, since a failure has another cost."""
    command = [find_program(), "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=10s"]
    arguments = [spec.method, name, spec.body, *(f"{header}={value}" for header, value in spec.headers.items())]
    process = subprocess.run(
        [*command, f"--script={_SCRIPT}", f"http://{address}{spec.path}", "--", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
    )
    return parse_output(process.stdout)


def parse_output(output: str) -> Load:
    """Parse the line that load.lua writes at the end."""
    summary = json.loads(output.rstrip().rpartition("\n")[2])
    errors = {kind: summary[kind] for kind in ("socket_errors", "error_statuses", "timeouts") if summary[kind]}
    if errors or not summary["requests"]:
        raise RuntimeError(f"of {summary['requests']} requests failed: {errors}")
    return Load(requests=summary["requests"], seconds=summary["microseconds"] / 1e6)
