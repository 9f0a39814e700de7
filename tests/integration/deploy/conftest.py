"""What the tests of the deployment ask about the program itself."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping

import pytest

from tests.integration.deploy.charts import ROOT

Settings = Mapping[str, float]

_TELL = """
import json, runpy
settings = runpy.run_path("config/gunicorn.conf.py")
print(json.dumps({name: settings[name] for name in ("keepalive", "graceful_timeout")}))
"""


@pytest.fixture(scope="session")
def gunicorn_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, str]], Settings]:
    """What config/gunicorn.conf.py says with given variables; in a process of its own, for it makes a folder."""

    def tell(variables: Mapping[str, str]) -> Settings:
        environment = {**variables, "TMPDIR": str(tmp_path_factory.mktemp("gunicorn")), "PYTHONPATH": str(ROOT)}
        line = [sys.executable, "-W", "ignore", "-c", _TELL]
        done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        found: Settings = json.loads(done.stdout)
        return found

    return tell


@pytest.fixture(scope="session")
def gunicorn_settings(gunicorn_with: Callable[[Mapping[str, str]], Settings]) -> Settings:
    """What it says where nobody says otherwise."""
    return gunicorn_with({})


@pytest.fixture(scope="session")
def deadline_seconds() -> float:
    """When a caller is answered, as the example has it."""
    example = tomllib.loads((ROOT / "config/gateway.example.toml").read_text(encoding="utf-8"))
    return float(example["server"]["deadline_seconds"])
