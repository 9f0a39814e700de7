"""The server's commands: what they check, print and refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.twins import cmdb
from gateway.twins.server import running
from tests.integration.deploy.charts import ROOT
from tests.integration.deploy.server_process import CONFIGURED, SERVE, run_until_exit

VALID = """
[backends.cmdb]
type = "cmdb"
base_url = "http://127.0.0.1:1"
app_code = "gateway"
app_secret = "literal secret"
username = "admin"
"""


def write(folder: Path, text: str) -> str:
    """Write a configuration file and return its path."""
    (folder / "gateway.toml").write_text(text, encoding="utf-8")
    return str(folder / "gateway.toml")


def test_check_names_the_connections_and_warns(tmp_path: Path) -> None:
    """A valid configuration is summed up; a literal secret causes a warning, which does not contain it."""
    result = CliRunner().invoke(cli.main, ["check", write(tmp_path, VALID)])
    assert result.exit_code == 0
    assert result.stdout == "1 connection, 0 callers, journal SQLite at var/journal.db\n"
    assert "backends.cmdb.app_secret" in result.stderr
    assert "written out in the file" in result.stderr
    assert "literal secret" not in result.stderr


def test_check_reports_every_error(tmp_path: Path) -> None:
    """An invalid configuration is refused with one line per error."""
    config = write(tmp_path, VALID.replace("base_url", "base") + "[server]\ndeadline_seconds = true\n")
    result = CliRunner().invoke(cli.main, ["check", config])
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert {line.partition(":")[0] for line in lines} == {
        "backends.cmdb.base_url",
        "backends.cmdb.base",
        "server.deadline_seconds",
    }


def test_check_validates_the_url_of_the_journal(tmp_path: Path) -> None:
    """A URL that the database's client cannot parse is an error of the configuration, not a crash at start."""
    config = write(tmp_path, f'{VALID}\n[journal]\nurl = "postgresql://:hush@[::1/gateway"\n')
    result = CliRunner().invoke(cli.main, ["check", config])
    assert result.exit_code == 1
    assert result.stderr == "journal.url: is not a URL that PostgreSQL understands\n"


@pytest.mark.loopback
@pytest.mark.timeout(60)
def test_check_asks_what_the_file_names(tmp_path: Path) -> None:
    """With --connect each of them is a line, without the password; one that fails makes the exit status 1."""
    journal = f"sqlite:///{tmp_path}/journal.db"
    with running(cmdb.create_twin()) as url:
        text = VALID.replace("http://127.0.0.1:1", url) + "\n[journal]\nurl = '{}'\n"
        good = CliRunner().invoke(cli.main, ["check", write(tmp_path, text.format(journal)), "--connect"])
        assert (good.exit_code, good.stdout.splitlines()[1:]) == (
            0,
            [f"journal SQLite at {tmp_path}/journal.db: ok", "backend cmdb: ok, accepts the credentials"],
        )
        wrong = "postgresql://gateway:hush-hush@127.0.0.1:1/gateway"
        failed = CliRunner().invoke(cli.main, ["check", write(tmp_path, text.format(wrong)), "--connect"])
    down = CliRunner().invoke(
        cli.main, ["check", write(tmp_path, f"{JWT}{VALID}[journal]\nurl = '{journal}'\n"), "--connect"]
    )
    assert (failed.exit_code, down.exit_code) == (1, 1)
    line = failed.stdout.splitlines()[1]
    assert line.startswith("journal PostgreSQL at 127.0.0.1: failed, journal_unavailable: ")
    assert "Connection refused" in line
    assert "hush-hush" not in failed.output
    assert [line.partition(", ")[0] for line in down.stdout.splitlines()[2:]] == [
        "issuer http://127.0.0.1:1/jwks: failed",
        "backend cmdb: failed",
    ]


JWT = """
[auth]
mode = "required"
[auth.jwt]
issuer = "https://issuer.example"
audience = "gateway"
jwks_url = "http://127.0.0.1:1/jwks"
algorithms = ["RS256"]
[[callers]]
name = "portal"
api_key_sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
allow = ["read:cmdb:*"]
"""
MEMORY = "journal.url: sqlite:///:memory: serves one worker process, not 2; use the path of a file\n"


# Its settle window is too short.
IN_MEMORY = f"{VALID}settle_seconds = 60\n[journal]\nurl = 'sqlite:///:memory:'\n"


def test_check_refuses_a_journal_in_memory_for_several_workers(tmp_path: Path) -> None:
    """GATEWAY_WORKERS counts; a short settle window is a warning."""
    command = ["check", write(tmp_path, IN_MEMORY)]
    results = [CliRunner().invoke(cli.main, command, env={"GATEWAY_WORKERS": number}) for number in ("1", "2")]
    assert [result.exit_code for result in results] == [0, 1]
    assert "warning: backends.cmdb.settle_seconds: is shorter than the 120 seconds" in results[0].stderr
    assert results[1].stderr == MEMORY


def test_a_new_key_has_the_printed_digest() -> None:
    """The second line is the digest of the key in the first, and each run creates another key."""
    runs = [CliRunner().invoke(cli.main, ["new-key"]).stdout.split() for _ in range(2)]
    for _, key, _, _, digest in runs:
        assert digest == f'"{sha256(key.encode()).hexdigest()}"'
        assert len(key) == 43
    assert runs[0][1] != runs[1][1]


def test_openapi_prints_the_document() -> None:
    """The document is printed without a server."""
    result = CliRunner().invoke(cli.main, ["openapi"])
    assert json.loads(result.stdout)["openapi"] == "3.1.0"


@pytest.mark.parametrize("bind", ["8001", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:٣"])
def test_a_twin_refuses_an_invalid_address(bind: str) -> None:
    """The message says what an address must be."""
    result = CliRunner().invoke(cli.main, ["twin", "cmdb", "--bind", bind])
    assert result.exit_code == 2
    assert "must be HOST:PORT" in result.stderr


def test_a_server_with_an_invalid_configuration_does_not_start(tmp_path: Path) -> None:
    """wsgi.py prints one line per error and exits with the status at which gunicorn stops."""
    config = write(tmp_path, "[backends.x]\ntype = 'none'\n")
    expected = ["configuration: backends.x.type: must be one of cmdb, projectman"]
    assert run_until_exit(["-c", "import wsgi"], {"GATEWAY_CONFIG": config}) == (3, expected)


def test_a_server_without_a_configuration_does_not_start() -> None:
    """There is no default file: GATEWAY_CONFIG must name one."""
    expected = ["configuration: GATEWAY_CONFIG: must name the configuration file"]
    assert run_until_exit(["-c", "import wsgi"], {}) == (3, expected)


@pytest.mark.parametrize(
    ("options", "variables"), [((), {"GATEWAY_WORKERS": "two"}), (("--workers", "two"), {"GATEWAY_WORKERS": "1"})]
)
def test_serve_refuses_an_invalid_number(options: tuple[str, ...], variables: dict[str, str]) -> None:
    """An invalid variable or option is one line on standard error, without a traceback."""
    expected = ["configuration: GATEWAY_WORKERS: must be an integer from 1 to 256"]
    assert run_until_exit([*SERVE, *options], variables) == (3, expected)


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ((*SERVE, "--workers", "2"), {}),
        (SERVE, {"GATEWAY_WORKERS": "2"}),
        ((*CONFIGURED, "-w", "2"), {}),
    ],
)
def test_server_refuses_a_journal_in_memory_for_several_workers(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str]
) -> None:
    """The number of workers may come from the option, the variable, or gunicorn's command line."""
    variables = {"GATEWAY_CONFIG": write(tmp_path, IN_MEMORY), "GATEWAY_BIND": "127.0.0.1:0", **variables}
    assert run_until_exit(arguments, variables) == (3, [f"configuration: {MEMORY}".strip()])


def test_serve_reports_every_error_of_the_configuration(tmp_path: Path) -> None:
    """An invalid configuration file is one line per error, and the status 3."""
    config = write(tmp_path, "[backends.x]\ntype = 'none'\n[server]\ndeadline_seconds = true\n")
    status, lines = run_until_exit([*SERVE, "--config", config, "--bind", "127.0.0.1:0"], {})
    assert status == 3
    assert sorted(line.split(": ")[:2] for line in lines) == [
        ["configuration", "backends.x.type"],
        ["configuration", "server.deadline_seconds"],
    ]


def test_the_master_imports_nothing_of_the_service() -> None:
    """Modules that are imported before gevent's patches keep unpatched functions."""
    code = "import gateway.cli.serve, sys; print(sorted({'gateway.app', 'flask', 'requests'} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
