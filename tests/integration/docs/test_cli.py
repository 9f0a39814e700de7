"""The command line: what it checks, prints and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway import cli

ROOT = Path(__file__).parents[3]
SOUND = """
[backends.cmdb]
type = "cmdb"
base_url = "http://127.0.0.1:1"
app_code = "gateway"
app_secret = "written out"
username = "admin"
"""


def test_check_names_the_connections_and_warns(tmp_path: Path) -> None:
    """A sound configuration lists its connections; a secret written out is warned about, and not repeated."""
    config = tmp_path / "sound.toml"
    config.write_text(SOUND, encoding="utf-8")
    result = CliRunner().invoke(cli.main, ["check", str(config)])
    assert result.exit_code == 0
    assert result.stdout == "cmdb: cmdb\n"
    assert "backends.cmdb.app_secret" in result.stderr
    assert "written out in the file" in result.stderr
    assert result.stderr.count("written out") == 1


def test_check_names_every_mistake(tmp_path: Path) -> None:
    """A wrong configuration is refused with one line a mistake."""
    config = tmp_path / "wrong.toml"
    config.write_text(SOUND.replace("base_url", "base") + "[server]\ndeadline_seconds = true\n", encoding="utf-8")
    result = CliRunner().invoke(cli.main, ["check", str(config)])
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert {line.partition(":")[0] for line in lines} == {
        "backends.cmdb.base_url",
        "backends.cmdb.base",
        "server.deadline_seconds",
    }


def test_check_asks_the_journal_too(tmp_path: Path) -> None:
    """A URL that the database's own client does not understand is a mistake here, and not a crash at the start."""
    config = tmp_path / "wrong.toml"
    url = "postgresql://:hush@[::1/gateway"
    config.write_text(f'{SOUND}\n[journal]\nurl = "{url}"\n', encoding="utf-8")
    result = CliRunner().invoke(cli.main, ["check", str(config)])
    assert result.exit_code == 1
    assert result.stderr == "journal.url: is not a URL that PostgreSQL understands\n"


def test_a_new_key_is_the_digests() -> None:
    """The two printed lines belong together, and no two keys are the same."""
    runs = [CliRunner().invoke(cli.main, ["new-key"]).stdout.split() for _ in range(2)]
    for _, key, _, _, digest in runs:
        assert digest == f'"{sha256(key.encode()).hexdigest()}"'
        assert len(key) == 43
    assert runs[0][1] != runs[1][1]


def test_openapi_prints_the_document() -> None:
    """The document can be had without a server."""
    result = CliRunner().invoke(cli.main, ["openapi"])
    assert json.loads(result.stdout)["openapi"] == "3.1.0"


@pytest.mark.parametrize("bind", ["8001", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:٣"])
def test_a_twin_wants_a_real_address(bind: str) -> None:
    """An address that is none is refused in one sentence."""
    result = CliRunner().invoke(cli.main, ["twin", "cmdb", "--bind", bind])
    assert result.exit_code == 2
    assert "say HOST:PORT" in result.stderr


def test_a_server_with_a_wrong_configuration_does_not_start(tmp_path: Path) -> None:
    """wsgi.py says what is wrong, line by line, and ends with the status at which gunicorn gives up."""
    config = tmp_path / "wrong.toml"
    config.write_text("[backends.x]\ntype = 'none'\n", encoding="utf-8")
    environ = {**os.environ, "GATEWAY_CONFIG": str(config)}
    run = subprocess.run(
        [sys.executable, "-c", "import wsgi"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert run.returncode == 3
    assert run.stderr.splitlines() == ["configuration: backends.x.type: must be one of cmdb, projectman"]


def test_a_server_without_a_configuration_does_not_start() -> None:
    """Nothing is guessed: GATEWAY_CONFIG must name a file."""
    environ = {key: value for key, value in os.environ.items() if key != "GATEWAY_CONFIG"}
    run = subprocess.run(
        [sys.executable, "-c", "import wsgi"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (3, "configuration: GATEWAY_CONFIG: must name the configuration file\n")
