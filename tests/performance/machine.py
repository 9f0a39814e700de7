"""Where the figures come from: machine, kernel and versions."""

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
    """Say what a reader needs in order to compare."""
    return {
        "processor": processor(Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": file_system(ROOT, Path("/proc/mounts").read_text(encoding="utf-8").splitlines()),
        "versions": {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "nginx": _told([nginx.program(), "-v"], r"nginx/(\S+)"),
            "wrk": _told([wrk.program(), "-v"], r"wrk (\S+)"),
            **{name: _version(name) for name in _PACKAGES},
        },
    }


def processor(lines: Iterable[str]) -> str:
    """Return the first processor's name."""
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def file_system(path: Path, mounts: Iterable[str]) -> str:
    """Return the kind of file system that a path lies on: what makes a commit durable costs there."""
    parents = {str(parent) for parent in (path, *path.parents)}
    held = [line.split()[1:3] for line in mounts]
    return max((mount for mount in held if mount[0] in parents), key=lambda mount: len(mount[0]), default=["", "?"])[1]


def _told(command: list[str], pattern: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "?"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"
