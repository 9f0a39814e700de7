"""The README's commands, run as written against what `make run` starts."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.chaos.testbed import eventually
from tests.integration.deploy.charts import ROOT
from tests.integration.deploy.server_process import free_port

README = (ROOT / "README.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.loopback
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands need curl")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[tuple[str, str]]:
    """The address of a sandbox on a free port, and what it printed."""
    bind = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gateway.cli", "sandbox", "--bind", bind]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            printed = ""
            while "ends all three" not in printed:
                line = process.stdout.readline()
                assert line, f"the sandbox ended after: {printed}"
                printed += line
            yield bind, printed
        finally:
            process.terminate()
            process.wait(timeout=30)


def curl_lines() -> list[str]:
    """Return every curl command of the README's section "Try it", each with its continuation lines."""
    section = README.partition("## Try it")[2].partition("Other requests:")[0]
    return re.findall(r"^curl (?:.*\\\n)*.*(?:\n   .*)*$", section, re.MULTILINE)


def shell(command: str, bind: str) -> str:
    local = command.replace("127.0.0.1:8000", bind)
    return subprocess.run(["bash", "-c", local], capture_output=True, text=True, timeout=30, check=True).stdout


@needs_curl
def test_the_curl_commands_work(sandbox: tuple[str, str]) -> None:
    """The commands in their order create in CMDB and ProjectMan, list, read, rename and delete."""
    responses = [shell(line, sandbox[0]) for line in curl_lines()]
    assert len(responses) == 6
    cmdb, projectman, page, module, renamed, deleted = responses
    assert "HTTP/1.1 201 CREATED" in cmdb
    assert "Location: /modules/cmdb.1.10.37825" in cmdb
    assert "HTTP/1.1 201 CREATED" in projectman
    assert "Location: /modules/projectman.0792b7d26cb74bd799cbae80063dc74a.46691" in projectman
    assert "cmdb.1.10.37825" in {row["id"] for row in json.loads(page)["modules"]}
    assert json.loads(module)["owners"][0]["id"] == "admin"
    assert json.loads(renamed)["name"] == "renamed"
    assert "HTTP/1.1 204 NO CONTENT" in deleted


def test_make_run_prints_the_same_commands(sandbox: tuple[str, str]) -> None:
    """The sandbox prints the commands of the README; white space may differ."""
    printed = " ".join(sandbox[1].replace(sandbox[0], "127.0.0.1:8000").split())
    for line in curl_lines():
        assert " ".join(line.split()) in printed


@needs_curl
def test_the_error_has_the_members_shown(sandbox: tuple[str, str]) -> None:
    """The problem document in the README has the members that a second create of a name returns."""
    body = json.dumps({"backend": "cmdb", "scope": "1", "parent": "10", "name": "twice"})
    command = f"curl -s http://127.0.0.1:8000/modules -H 'Content-Type: application/json' -d '{body}'"
    shell(command, sandbox[0])
    problem = json.loads(shell(command, sandbox[0]))
    shown = README.partition('{"type":"/errors#module_already_exists"')[2].partition("```")[0]
    members = set(re.findall(r'"([a-z_]+)":', '"type":' + shown))
    assert set(problem) | set(problem["upstream"]) == members
    assert problem["code"] == "module_already_exists"


def test_the_page_that_starts_from_a_csv(sandbox: tuple[str, str], tmp_path: Path) -> None:
    """Its commands, interrupted twice, end with all 500 modules there, once."""
    page = (ROOT / "deploy" / "provision-from-csv.md").read_text(encoding="utf-8")
    _, make_file, batch, output, looks = re.findall(r"```\n(.*?)```", page, re.DOTALL)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    address = f"http://{sandbox[0]}"
    settings: dict[str, Any] = {
        "cwd": tmp_path,
        "env": {**os.environ, "PATH": path, "GATEWAY_URL": address},
    }
    subprocess.run(["bash", "-c", make_file], check=True, timeout=30, **settings)
    result = tmp_path / "modules.csv.result.jsonl"
    for signal_number, lines in ((signal.SIGINT, 100), (signal.SIGKILL, 250)):
        with subprocess.Popen(
            batch.split(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **settings
        ) as process:
            assert eventually(lambda: result.exists() and result.read_bytes().count(b"\n") > lines, 60)  # noqa: B023
            process.send_signal(signal_number)
    ended = subprocess.run(batch.split(), capture_output=True, text=True, check=True, timeout=60, **settings)
    assert re.sub(r"\d+", "N", ended.stdout) == re.sub(r"\d+", "N", output)
    for look in looks.strip().splitlines():
        command, _, expected = look.partition("#")
        counted = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, **settings)
        assert counted.stdout.strip() == expected.strip()


def test_every_setting_is_in_the_table() -> None:
    """The README explains every setting of the example."""
    example = (ROOT / "config" / "gateway.example.toml").read_text(encoding="utf-8")
    for setting in re.findall(r"^(?:# )?([a-z_]+) = ", example, re.MULTILINE):
        assert f"`{setting}`" in README or f".{setting}`" in README or f"{setting}, `" in README, setting


def test_a_twin_runs_alone(tmp_path: Path) -> None:
    """`module-gateway twin` serves the state of a seed file, and ends on SIGTERM."""
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps({"next_module_id": 7}), encoding="utf-8")
    bind = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gateway.cli", "twin", "cmdb", "--bind", bind, "--seed", str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"twin cmdb listening on http://{bind}\n"
            with urllib.request.urlopen(f"http://{bind}/twin/ledger", timeout=5) as response:
                assert json.load(response) == {"writes": []}
        finally:
            process.terminate()
            assert process.wait(timeout=10) in {0, -15}
