"""Describes the machine of a run: processor, kernel, file system and versions."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tests.performance import nginx
from tests.performance.servers import ROOT

_PACKAGES: Final = (
    "flask", "werkzeug", "marshmallow", "requests", "urllib3", "gunicorn", "gunicorn_h1c", "gevent", "fastapi",
    "httpx", "uvicorn", "pydantic", "bkapi-component-open", "huaweicloudsdkprojectman",
)  # fmt: skip


def describe() -> Mapping[str, Any]:
    """Return the description as JSON values; the file system determines the cost of a durable commit."""
    return {
        "processor": _search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8")),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": _output("df", "--output=fstype", str(ROOT)).split()[-1],
        "versions": {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "nginx": _search(r"nginx/(\S+)", _output(str(nginx.PROGRAM), "-v")),
            "wrk": _search(r"wrk (\S+)", _output("wrk", "-v")),
            **{name: version(name) for name in _PACKAGES},
        },
    }


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def _search(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else "?"
