"""Fixtures with settings of the gateway that the deployment depends on."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping

import pytest

from tests.integration.deploy.charts import ROOT

GunicornSettings = Mapping[str, float]

_PRINT_SETTINGS = """
import json, runpy
settings = runpy.run_path("config/gunicorn.conf.py")
print(json.dumps({name: settings[name] for name in ("keepalive", "graceful_timeout")}))
"""


@pytest.fixture(scope="session")
def gunicorn_settings_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, str]], GunicornSettings]:
    """Returns the settings of config/gunicorn.conf.py with given variables; the file runs in a process of its own."""

    def load(variables: Mapping[str, str]) -> GunicornSettings:
        environment = {**variables, "TMPDIR": str(tmp_path_factory.mktemp("gunicorn")), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "ignore", "-c", _PRINT_SETTINGS]
        process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        settings: GunicornSettings = json.loads(process.stdout)
        return settings

    return load


@pytest.fixture(scope="session")
def gunicorn_settings(gunicorn_settings_with: Callable[[Mapping[str, str]], GunicornSettings]) -> GunicornSettings:
    """The settings of config/gunicorn.conf.py without variables."""
    return gunicorn_settings_with({})


@pytest.fixture(scope="session")
def deadline_seconds() -> float:
    """The deadline in the example configuration."""
    example = tomllib.loads((ROOT / "config/gateway.example.toml").read_text(encoding="utf-8"))
    return float(example["server"]["deadline_seconds"])
