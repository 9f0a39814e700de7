"""Describes the machine of a run: processor, kernel, file system and versions."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from tests.performance import nginx, wrk
from tests.performance.servers import ROOT

_PACKAGES: Final = (
    "flask", "werkzeug", "marshmallow", "requests", "urllib3", "gunicorn", "gunicorn_h1c", "gevent", "fastapi",
    "httpx", "uvicorn", "pydantic", "bkapi-component-open", "huaweicloudsdkprojectman",
)  # fmt: skip


def describe() -> Mapping[str, Any]:
    """Return the description as JSON values."""
    return {
        "processor": processor(Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": file_system(ROOT, Path("/proc/mounts").read_text(encoding="utf-8").splitlines()),
        "versions": {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "nginx": _program_version([nginx.find_program(), "-v"], r"nginx/(\S+)"),
            "wrk": _program_version([wrk.find_program(), "-v"], r"wrk (\S+)"),
            **{name: _package_version(name) for name in _PACKAGES},
        },
    }


def processor(lines: Iterable[str]) -> str:
    """Return the name of the first processor in the lines of /proc/cpuinfo."""
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def file_system(path: Path, mounts: Iterable[str]) -> str:
    """Return the type of a path's file system, which determines the cost of a durable commit."""
    parents = {str(parent) for parent in (path, *path.parents)}
    points = [line.split()[1:3] for line in mounts]
    return max((point for point in points if point[0] in parents), key=lambda point: len(point[0]), default=["", "?"])[
        1
    ]


def _program_version(command: list[str], pattern: str) -> str:
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(pattern, process.stdout + process.stderr)
    return match[1] if match else "?"


def _package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"
