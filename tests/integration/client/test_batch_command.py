"""`module-gateway batch` against real gateways: each row once, whatever interrupts it; and what it shows."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from tests.integration.chaos.testbed import GatewayTestbed, Topology, eventually, run_testbed

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(int(os.environ.get("CLIENT_TIMEOUT", "240")))]
#: `make client` sends ten thousand.
ROWS = int(os.environ.get("CLIENT_ROWS", "300"))
PLACE = ("--backend", "cmdb", "--scope", "1", "--parent", "10")
TOPOLOGY = Topology(deadline=3.0)


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayTestbed]:
    with run_testbed(tmp_path_factory.mktemp("testbed"), TOPOLOGY) as testbed:
        yield testbed


def command(testbed: GatewayTestbed, file: Path, *options: str) -> Sequence[str]:
    """Return the command for a file."""
    url = ("--url", f"http://{testbed.addresses[0]}")
    return (sys.executable, "-m", "gateway.cli", "batch", str(file), *url, *PLACE, *options)


def run(testbed: GatewayTestbed, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end in pipes; FORCE_COLOR must make no difference."""
    environ = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"}
    return subprocess.run(
        command(testbed, file, *options), env=environ, capture_output=True, text=True, check=False, timeout=600
    )


def write_csv(path: Path, names: Sequence[str]) -> Path:
    path.write_text("name,owners\n" + "".join(f"{name},admin;operator\n" for name in names), encoding="utf-8")
    return path


def results_of(file: Path) -> list[dict[str, Any]]:
    """Return the entries of the result file that are whole, without its header."""
    entries = []
    for line in file.with_name(f"{file.name}.result.jsonl").read_text(encoding="utf-8").splitlines()[1:]:
        with suppress(ValueError):
            entries.append(json.loads(line))
    return entries


def count_results(file: Path) -> int:
    """Return the number of lines of the result file; 0 before there is one."""
    path = file.with_name(f"{file.name}.result.jsonl")
    return path.read_bytes().count(b"\n") if path.exists() else 0


def worker_pids(testbed: GatewayTestbed) -> list[int]:
    master = testbed.replicas[0].group
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text(encoding="ascii").split()]


def test_every_row_once_with_faults_and_two_interruptions(testbed: GatewayTestbed, tmp_path: Path) -> None:
    """Lost replies, late commits, rate limits, a killed worker, Ctrl-C, and the death of the command itself."""
    names = [f"row-{number:05}" for number in range(ROWS)]
    file = write_csv(tmp_path / "modules.csv", names)
    faults: tuple[dict[str, Any], ...]
    faults = ({"fault": "drop"}, {"fault": "drop", "effect": "late", "seconds": 0.5}, {"fault": "rate-limited"})
    each = max(ROWS // 1000, 1)
    for number, fault in enumerate(faults):
        testbed.fault("cmdb", *[{**fault, "after": (index * len(faults) + number) * 40 + 10} for index in range(each)])
    peaks: list[int] = []
    returncode, output, errors = -1, "", ""
    for share, end in ((0.3, signal.SIGINT), (0.6, signal.SIGKILL), (1.0, None)):
        with subprocess.Popen(command(testbed, file), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            if end is not None:
                assert eventually(lambda: count_results(file) >= share * ROWS, 600)  # noqa: B023
                process.send_signal(end)
            if share == 0.6:
                os.kill(worker_pids(testbed)[0], signal.SIGKILL)
            status = Path(f"/proc/{process.pid}/status")
            while process.poll() is None:
                with suppress(OSError):
                    peaks += map(int, re.findall(r"VmHWM:\s+(\d+)", status.read_text(encoding="ascii")))
                sleep(0.05)
            assert process.stdout is not None
            assert process.stderr is not None
            output, errors = process.stdout.read().decode(), process.stderr.read().decode()
        returncode = process.returncode
        if end is signal.SIGINT:
            assert returncode in {1, 3}, errors
            assert "Run the same command again to resume." in output
            assert "Finishing the rows on their way." in errors
    assert (returncode, errors) == (0, ""), output
    assert set(testbed.twin("cmdb", "GET", "faults")["struck"]) == {"drop", "rate-limited"}
    assert Counter(entry["natural_key"][-1] for entry in testbed.created("cmdb")) == dict.fromkeys(names, 1)
    entries = results_of(file)
    assert [entry["name"] for entry in sorted(entries, key=lambda entry: entry["row"])] == names
    ids = {entry["natural_key"][-1]: str(entry["id"]) for entry in testbed.created("cmdb")}
    assert {entry["name"]: entry["native_id"] for entry in entries} == ids
    again = run(testbed, file, "--json")
    assert json.loads(again.stdout) | {"seconds": 0} == {
        "rows": ROWS,
        "complete_before": ROWS,
        "created": 0,
        "adopted": 0,
        "failed": 0,
        "unknown": 0,
        "not_started": 0,
        "seconds": 0,
        "result": f"{file}.result.jsonl",
        "interrupted": False,
    }
    assert max(peaks) < 90 * 1024, f"KiB resident, {ROWS} rows"


def test_rows_that_are_refused(testbed: GatewayTestbed, tmp_path: Path) -> None:
    """They are reported with what is wrong, the others are created, and a second run tries only them again."""
    names = ["ok-1", "no good", "ok-2", "ok-1", "ok-3"]
    file = write_csv(tmp_path / "modules.csv", names)
    first, second = run(testbed, file), run(testbed, file, "--json")
    assert (first.returncode, second.returncode) == (1, 1)
    assert "3 created" in first.stdout
    assert (json.loads(second.stdout)["complete_before"], json.loads(second.stdout)["failed"]) == (3, 2)
    failed = {entry["row"]: entry["problem"] for entry in results_of(file) if entry["state"] == "failed"}
    assert failed[2]["errors"][0]["pointer"] == "/name"
    assert failed[4]["code"] == "module_already_exists"
    write_csv(file, ["ok-1", "good", "ok-2", "ok-4", "ok-3"])
    assert run(testbed, file).returncode == 0
    assert len(results_of(file)) == 5


def test_a_tree_in_json_lines(testbed: GatewayTestbed, tmp_path: Path) -> None:
    """A row can be the child of one of another request, or of an earlier run; a failed parent has no children."""
    project = {"backend": "projectman", "scope": "0792b7d26cb74bd799cbae80063dc74a"}
    owner = {"owners": ["09d75cde5180d4481f91c018e89cb8e2"]}
    rows: list[dict[str, Any]] = [{"ref": "top", "name": "top"}, {"ref": "bad", "name": "/"}]
    rows += [{"ref": f"leaf-{number}", "parent_ref": "top", "name": f"leaf-{number}"} for number in range(120)]
    rows += [{"ref": "deep", "parent_ref": "leaf-0", "name": "deep"}]
    rows += [{"ref": "lost", "parent_ref": "bad", "name": "lost"}, {"ref": "stray", "parent_ref": "?", "name": "s"}]
    file = tmp_path / "tree.jsonl"
    file.write_text("\n".join(json.dumps(project | owner | row) for row in rows), encoding="utf-8")
    result = run(testbed, file)
    states = Counter(entry["state"] for entry in results_of(file))
    assert states == {"created": 122, "failed": 1, "not_started": 2}, result
    rows[1]["name"] = "mended"
    file.write_text("\n\n".join(json.dumps(project | owner | row) for row in rows), encoding="utf-8")
    run(testbed, file)
    assert Counter(entry["state"] for entry in results_of(file)) == {"created": 124, "not_started": 1}


INVALID = {
    "no header": ("a.csv", "", "the header must have the column name"),
    "unknown column": ("a.csv", "name,owner\n", "has the column 'owner'; expected: ref,"),
    "a column twice": ("a.csv", "name,name\n", "no column twice"),
    "too many cells": ("a.csv", "name\nweb,x\n", "a.csv:2: has 2 cells, not 1"),
    "attribute": ("a.csv", "name,attributes.a:json\nweb,[\n", "a.csv:2: attributes.a:json is not JSON"),
    "quotes": ("a.csv", 'name\n"web\n', "unexpected end of data"),
    "not UTF-8": ("a.csv", "name\n\udcff\n", "is not UTF-8"),
    "not JSON": ("a.jsonl", "{}\n{\n", "a.jsonl:2: is not JSON"),
    "no object": ("a.jsonl", "[]\n", "a.jsonl:1: must be a JSON object"),
}


@pytest.mark.parametrize(("name", "text", "message"), INVALID.values(), ids=INVALID)
def test_a_file_that_cannot_be_read(
    testbed: GatewayTestbed, tmp_path: Path, name: str, text: str, message: str
) -> None:
    """It is a usage error that names the line; nothing is sent."""
    (tmp_path / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    before = testbed.sent("cmdb")
    result = run(testbed, tmp_path / name)
    assert (result.returncode, testbed.sent("cmdb")) == (2, before)
    assert message in result.stderr


def test_the_result_file_is_protected(testbed: GatewayTestbed, tmp_path: Path) -> None:
    """Another file is not overwritten, and two runs do not write the same file."""
    file = write_csv(tmp_path / "modules.csv", ["protected-1"])
    other = run(testbed, file, "--result", str(file))
    assert (other.returncode, "is no result file" in other.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    lost = run(testbed, file, "--result", str(tmp_path / "none" / "result"))
    assert (lost.returncode, "No such file or directory" in lost.stderr) == (1, True)
    testbed.fault("cmdb", {"fault": "delay", "seconds": 2.0})
    with subprocess.Popen(command(testbed, file), stdout=subprocess.DEVNULL) as first:
        assert eventually(lambda: testbed.sent("cmdb", "protected-1") == 1, 30)
        second = run(testbed, file)
        assert first.wait(60) == 0
    assert (second.returncode, "another run writes this file" in second.stderr) == (2, True)


def test_a_gateway_that_is_away(testbed: GatewayTestbed, tmp_path: Path) -> None:
    """After the timeout the run ends, says why and how to resume; nothing was created: exit code 1."""
    file = write_csv(tmp_path / "modules.csv", ["away"])
    result = run(testbed, file, "--url", "http://127.0.0.1:1", "--timeout", "0.5")
    assert result.returncode == 1
    assert "connection_failed" in result.stderr
    assert "Run the same command again to resume." in result.stdout


def test_the_bar_moves_on_a_terminal_and_nothing_of_it_is_in_a_pipe(testbed: GatewayTestbed, tmp_path: Path) -> None:
    """On a terminal the counts go up and the end is a summary; a pipe gets the summary, without escape codes."""
    file = write_csv(tmp_path / "bar.csv", [f"bar-{number}" for number in range(300)])
    control, terminal = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command(testbed, file), env=environ, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        recorded, deadline = b"", monotonic() + 120
        with suppress(OSError):  # the end of a terminal
            while chunk := os.read(control, 65536):
                recorded += chunk
                assert monotonic() < deadline
        os.close(control)
    shown = recorded.decode()
    assert process.returncode == 0, shown
    assert {"0/300", "100/300", "200/300", "300/300"} <= set(re.findall(r"\d+/300", shown))
    assert re.search(r"\d+ done .*\d+ failed .*\d+ unknown .*\d+/s", shown)
    assert "\x1b[" in shown
    assert "300 rows in " in shown.rstrip().splitlines()[-2]
    piped = run(testbed, write_csv(tmp_path / "pipe.csv", ["pipe-1"]))
    assert piped.stdout.startswith("1 rows in ")
    assert "\x1b" not in piped.stdout + piped.stderr
