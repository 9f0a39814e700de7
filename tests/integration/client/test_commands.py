"""The client's commands: what they print, and their exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner, Result

from gateway import cli
from gateway.cli import output
from gateway.client import Client
from tests.integration.chaos.testbed import GatewayTestbed, Topology, eventually, run_testbed
from tests.integration.client.proxy import FAULTS, run_proxy

pytestmark = pytest.mark.loopback
PLACE = ("--backend", "cmdb", "--scope", "1", "--parent", "10")


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayTestbed]:
    with run_testbed(tmp_path_factory.mktemp("testbed"), Topology(workers=1)) as testbed:
        yield testbed


@pytest.fixture
def run(testbed: GatewayTestbed, socket_enabled: None) -> Callable[..., Result]:
    """Runs a command against the gateway."""

    def invoke(*arguments: str, **environ: str) -> Result:
        variables = {"GATEWAY_URL": f"http://{testbed.addresses[0]}", **environ}
        return CliRunner().invoke(cli.main, arguments, env=variables)

    return invoke


def test_the_life_of_a_module(run: Callable[..., Result]) -> None:
    """Create, get, list, update and delete print the module, for people and for programs, and end with 0."""
    attributes = ("--attribute", "bk_module_type=1", "--attribute", "service_category_id:=2")
    created = run("create", "web", *PLACE, "--owner", "admin", *attributes)
    assert (created.exit_code, created.stdout.splitlines()[5]) == (0, "name          web")
    listed = run("list", *PLACE, "--name", "web")
    assert listed.stdout.splitlines() == [
        "id\tname\tparent\towners\tdepth\tbuilt_in",
        "cmdb.1.10.37825\tweb\t10\tadmin\t1\tfalse",
    ]
    (module,) = json.loads(run("list", *PLACE, "--json", "--name", "web").stdout)
    assert json.loads(run("list", *PLACE, "--json", "--name", "none").stdout) == []
    assert len(json.loads(run("list", "--backend", "cmdb", "--scope", "1", "--json").stdout)) > 1
    changed = json.loads(run("update", module["id"], "--name", "w2", "--if-match", module["etag"], "--json").stdout)
    assert json.loads(run("get", module["id"], "--json").stdout) == changed
    assert changed["name"] == "w2"
    late = run("delete", module["id"], "--if-match", module["etag"])
    assert (late.exit_code, late.stderr.partition(":")[2].split(":")[0]) == (1, " precondition_failed")
    assert json.loads(run("delete", module["id"], "--json").stdout) == {"deleted": module["id"]}
    gone = run("get", module["id"], "--json")
    assert (gone.exit_code, gone.stdout, json.loads(gone.stderr)["code"]) == (1, "", "module_not_found")
    rows = run("operations", "--state", "succeeded").stdout.splitlines()
    operation = rows[1].split("\t")[0]
    assert json.loads(run("operations", operation, "--json", "--wait").stdout)["module"]["name"] == "web"
    assert eventually(lambda: "delete" in run("changes", "--module", module["id"]).stdout, 30)  # once it is published


def test_a_preview(run: Callable[..., Result]) -> None:
    """A create that would be refused ends with 1."""
    results = [run("create", "mysql", *PLACE[:-1], parent, "--validate-only") for parent in ("10", "11")]
    assert [result.exit_code for result in results] == [0, 1]
    assert results[1].stdout.startswith("would   conflict")


USAGE = {
    "no change": (("update", "m"), "nothing to change"),
    "attribute": (("update", "m", "--attribute", "a"), "must be NAME=TEXT or NAME:=JSON"),
    "JSON": (("update", "m", "--attribute", "a:=["), "is not JSON"),
    "URL": (("get", "m", "--url", "host:80"), "must begin with http"),
    "id": (("get", ".."), "is not an id"),
    "unknown command": (("grt",), "No such command"),
}


@pytest.mark.parametrize(("arguments", "message"), USAGE.values(), ids=USAGE)
def test_usage_errors(run: Callable[..., Result], arguments: tuple[str, ...], message: str) -> None:
    """They end with 2 and say what is wrong."""
    result = run(*arguments)
    assert (result.exit_code, message in result.stderr) == (2, True), result.output


def test_errors_say_everything(run: Callable[..., Result]) -> None:
    """All errors of a request are listed."""
    result = run("create", "a b", *PLACE, "--description", "x")
    assert result.exit_code == 1
    assert {line.split(":")[0].strip() for line in result.stderr.splitlines()[1:3]} == {"/name", "/description"}


def test_an_unknown_outcome(run: Callable[..., Result], testbed: GatewayTestbed) -> None:
    """It ends with 3, and running the command again with the key that it names continues the same create."""
    with run_proxy(testbed.addresses[0], FAULTS["200, passed on"]) as url:
        result = run("create", "unknown", *PLACE, "--url", url)
    assert (result.exit_code, "may have been applied" in result.stderr) == (3, True)
    key = result.stderr.split()[-1]
    assert run("create", "unknown", *PLACE, "--idempotency-key", key).exit_code == 0
    assert testbed.created_count("cmdb", "unknown") == 1
    with mock.patch.object(Client, "create", side_effect=KeyboardInterrupt):
        interrupted = run("create", "later", *PLACE)
    assert (interrupted.exit_code, "--idempotency-key" in interrupted.stderr) == (3, True)


def test_credentials(run: Callable[..., Result], tmp_path: Path) -> None:
    """A file precedes the variable, so that only one credential is sent; a file is trimmed."""
    (tmp_path / "secret").write_text(" from-file\n", encoding="utf-8")
    for options, expected in (
        (("--api-key-file", str(tmp_path / "secret")), {"api_key": "from-file"}),
        (("--token-file", str(tmp_path / "secret")), {"token": "from-file"}),
        ((), {"api_key": "from-variable"}),
    ):
        with mock.patch("gateway.cli.client_commands.Client") as client:
            run(
                "get",
                "m",
                *options,
                "--timeout",
                "5",
                "--ca-file",
                str(tmp_path / "secret"),
                GATEWAY_API_KEY="from-variable",
            )
        settings: dict[str, Any] = dict(client.call_args.kwargs)
        assert (settings.pop("timeout"), settings.pop("verify")) == (5.0, str(tmp_path / "secret"))
        assert {name: value() if callable(value) else value for name, value in settings.items()} == expected


def test_a_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are shown as they are: neither rich's markup nor escape codes in them have an effect."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    output.print_table([{"name": "[red]a\x1b[2J", "depth": 1}], ["name", "depth"])
    assert "[red]a\\x1b[2J" in terminal.getvalue()


def test_completion_and_imports() -> None:
    """The shell completes commands; the help of a client's command needs neither rich nor the server's modules."""
    environ = {
        **os.environ,
        "_MODULE_GATEWAY_COMPLETE": "bash_complete",
        "COMP_WORDS": "module-gateway o",
        "COMP_CWORD": "1",
    }
    arguments = [sys.executable, "-m", "gateway.cli"]
    completed = subprocess.run(arguments, env=environ, capture_output=True, text=True, check=True, timeout=60)
    assert completed.stdout.split() == ["plain,openapi", "plain,operations"]
    blocked = ("rich", "flask", "gevent", "marshmallow", "gunicorn")
    block = f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))"
    code = f"{block}; from gateway.cli import main; main(['batch', '--help'])"
    helped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "Run the same command again to resume" in helped.stdout
