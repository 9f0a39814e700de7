"""The server's commands: what they check, print and refuse."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.twins import cmdb
from gateway.twins.seed_file import read_seed_file
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


EXAMPLE = ROOT / "config" / "twin-seed.example.json"


@pytest.mark.parametrize(("backend", "names"), [("cmdb", {"nginx", "php"}), ("projectman", {"checkout", "payment"})])
def test_the_example_of_a_seed(backend: str, names: set[str]) -> None:
    """The example is a valid seed of both twins, which then hold its modules."""
    seed = read_seed_file(str(EXAMPLE), backend)
    app = import_module(f"gateway.twins.{backend}").create_twin(seed)
    client, project = app.test_client(), "0792b7d26cb74bd799cbae80063dc74a"
    if backend == "cmdb":
        headers = {"X-Bkapi-Authorization": '{"bk_app_code": "a", "bk_app_secret": "s", "bk_username": "admin"}'}
        response = client.post("/api/bk-cmdb/prod/api/v3/module/search/0/1/10", json={}, headers=headers)
        assert {row["bk_module_name"] for row in response.get_json()["data"]["info"]} == names
    else:
        assert {entry["project_id"] for entry in seed["projects"]} == {project}
        assert names <= set(re.findall(r"[a-z]+", json.dumps(seed)))


@pytest.mark.parametrize(
    ("backend", "content", "expected"),
    [
        ("cmdb", None, ["No such file or directory"]),
        ("cmdb", "{nope", ["is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"]),
        ("cmdb", "[]", ["the file must hold a JSON object"]),
        ("cmdb", '{"cmdb": []}', ["cmdb must hold a JSON object"]),
        (
            "cmdb",
            '{"busineses": 1, "iam": "yes", "businesses": [{"bk_biz_id": "1", "sets": [{"modules": {}}]}], "users": 1}',
            [
                "iam: must be true or false",
                "users: must be an object",
                "businesses[1].bk_biz_id: must be a whole number",
                "businesses[1].bk_biz_name: is missing",
                "businesses[1].sets[1].bk_set_id: is missing",
                "businesses[1].sets[1].bk_set_name: is missing",
                "businesses[1].sets[1].modules: must be a list of objects",
                "busineses: is not a member of a seed here",
            ],
        ),
        ("cmdb", '{"version": "9"}', ["version must be one of 3.9, 3.13, 3.14.7, 3.14.8, 3.14, apigw_dialect one of "]),
        ("cmdb", '{"faults": [{"fault": "x"}]}', [""]),
        (
            "cmdb",
            '{"apps": {"a": 5}, "businesses": [7]}',
            ["apps.a: must be a string", "businesses[1]: must be an object"],
        ),
        (
            "projectman",
            '{"projects": [{"modules": [{"module_name": 1}]}]}',
            [
                "projects[1].project_id: is missing",
                "projects[1].project_num_id: is missing",
                "projects[1].project_name: is missing",
                "projects[1].members: is missing",
                "projects[1].modules[1].module_name: must be a string",
                "projects[1].modules[1].owner: is missing",
            ],
        ),
        ("projectman", '{"access_keys": {"AK": "env:NOWHERE"}}', ["the environment variable NOWHERE is not set"]),
    ],
)
def test_a_twin_reports_every_error_of_a_seed(
    tmp_path: Path, backend: str, content: str | None, expected: list[str]
) -> None:
    """A file that is missing, no JSON, of the wrong shape or with wrong values is one line an error, and status 2."""
    path = tmp_path / "seed.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    result = CliRunner().invoke(cli.main, ["twin", backend, "--seed", str(path)])
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == len(expected), lines
    assert all(any(line.startswith(f"{path}: {text}") for line in lines) for text in expected), lines


@pytest.mark.loopback
@pytest.mark.parametrize("command", [["sandbox"], ["twin", "cmdb"]])
def test_a_port_that_is_taken(socket_enabled: None, command: list[str]) -> None:
    """A command whose port is taken says so and ends; it never speaks for the process that listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bind = f"127.0.0.1:{listener.getsockname()[1]}"
        result = CliRunner().invoke(cli.main, [*command, "--bind", bind])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Address already in use" in result.stderr
    assert bind.rpartition(":")[2] in result.stderr
    assert "Traceback" not in result.output


def test_a_wrong_type_of_a_connection_is_one_error(tmp_path: Path) -> None:
    """An allow-list that names the connection is no second error."""
    caller = '[[callers]]\nname = "a"\nspiffe = "spiffe://a/b"\nallow = ["*:cmdb:*"]\n'
    for text, error in (
        (VALID.replace('"cmdb"', '"cmbd"'), "backends.cmdb.type: must be one of cmdb, projectman\n"),
        (VALID.replace('type = "cmdb"', ""), "backends.cmdb.type: is missing\n"),
    ):
        result = CliRunner().invoke(cli.main, ["check", write(tmp_path, text + caller)])
        assert (result.exit_code, result.stderr) == (1, error)


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
