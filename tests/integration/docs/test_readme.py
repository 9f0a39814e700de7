"""The README's commands, typed as they stand, against what `make run` starts."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.loopback
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands are curl's")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[tuple[str, str]]:
    """The sandbox on a free port: its address, and what it printed."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        bind = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "gateway.cli", "sandbox", "--bind", bind]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            printed = ""
            while "ends all three" not in printed:
                line = process.stdout.readline()
                assert line, f"the sandbox ended, having said: {printed}"
                printed += line
            yield bind, printed
        finally:
            process.terminate()
            process.wait(timeout=30)


def curl_lines() -> list[str]:
    """Every curl command of the README's section to try it, continuation lines joined."""
    section = README.partition("## Try it")[2].partition("Other requests:")[0]
    return re.findall(r"^curl (?:.*\\\n)*.*(?:\n   .*)*$", section, re.MULTILINE)


def shell(command: str, bind: str) -> str:
    local = command.replace("127.0.0.1:8000", bind)
    return subprocess.run(["bash", "-c", local], capture_output=True, text=True, timeout=30, check=True).stdout


@needs_curl
def test_the_curl_lines_do_what_is_written(sandbox: tuple[str, str]) -> None:
    """Create in CMDB and ProjectMan, list, read, rename, delete: as written, one after the other."""
    answers = [shell(line, sandbox[0]) for line in curl_lines()]
    assert len(answers) == 6
    created, made, listed, read, renamed, deleted = answers
    assert "HTTP/1.1 201 CREATED" in created
    assert "Location: /modules/cmdb.1.10.37825" in created
    assert "HTTP/1.1 201 CREATED" in made
    assert "Location: /modules/projectman.0792b7d26cb74bd799cbae80063dc74a.46691" in made
    assert "cmdb.1.10.37825" in {module["id"] for module in json.loads(listed)["modules"]}
    assert json.loads(read)["owners"][0]["id"] == "admin"
    assert json.loads(renamed)["name"] == "renamed"
    assert "HTTP/1.1 204 NO CONTENT" in deleted


def test_make_run_prints_the_same_lines(sandbox: tuple[str, str]) -> None:
    """What the sandbox prints and what the README shows are the same commands, white space apart."""
    printed = " ".join(sandbox[1].replace(sandbox[0], "127.0.0.1:8000").split())
    for line in curl_lines():
        assert " ".join(line.split()) in printed


@needs_curl
def test_the_error_is_the_one_that_is_shown(sandbox: tuple[str, str]) -> None:
    """The envelope in the README is what a second create of one name gets."""
    body = json.dumps({"backend": "cmdb", "scope": "1", "parent": "10", "name": "twice"})
    command = f"curl -s http://127.0.0.1:8000/modules -H 'Content-Type: application/json' -d '{body}'"
    shell(command, sandbox[0])
    told = json.loads(shell(command, sandbox[0]))
    shown = README.partition('{"type":"/errors#module_already_exists"')[2].partition("```")[0]
    members = set(re.findall(r'"([a-z_]+)":', '"type":' + shown))
    assert set(told) | set(told["upstream"]) == members
    assert told["code"] == "module_already_exists"


def test_every_setting_is_in_the_table() -> None:
    """What the example configures, the README explains."""
    example = (ROOT / "config" / "gateway.example.toml").read_text(encoding="utf-8")
    for setting in re.findall(r"^(?:# )?([a-z_]+) = ", example, re.MULTILINE):
        assert f"`{setting}`" in README or f".{setting}`" in README or f"{setting}, `" in README, setting


def test_a_twin_stands_alone(tmp_path: Path) -> None:
    """`module-gateway twin` serves a seed of one's own, and ends when told to."""
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps({"next_module_id": 7}), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        bind = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "gateway.cli", "twin", "cmdb", "--bind", bind, "--seed", str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"twin cmdb listening on http://{bind}\n"
            until = time.monotonic() + 10
            while time.monotonic() < until:
                with urllib.request.urlopen(f"http://{bind}/twin/ledger", timeout=5) as reply:
                    assert json.load(reply) == {"writes": []}
                break
        finally:
            process.terminate()
            assert process.wait(timeout=10) in {0, -15}
