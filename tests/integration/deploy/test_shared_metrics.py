"""Metrics of several real workers: one scrape has them all, and nothing about them can end a worker."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.deploy.server_process import (
    CONFIGURED,
    environment,
    free_port,
    get,
    running,
    wait_for,
    worker_pids,
)  # fmt: skip

pytestmark = pytest.mark.loopback


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system without a free byte."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a file system")
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"a" * 4096)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _requests(port: int) -> float:
    """Return how many requests for /backends the service has counted."""
    text = get("127.0.0.1", port, "/metrics")[1]
    lines = [line for line in text.splitlines() if line.startswith("gateway_requests_total") and '"/backends"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_a_full_disk_and_dying_workers(tmp_path: Path, full_disk: Path) -> None:
    """Two workers count every request with no space for temporary files; a worker's death takes no count away."""
    port = free_port()
    variables = {"TMPDIR": str(full_disk), "GATEWAY_WORKERS": "2", "PROMETHEUS_MULTIPROC_DIR": str(full_disk)}
    environ = environment(tmp_path, GATEWAY_BIND=f"127.0.0.1:{port}", **variables)
    with running(CONFIGURED, environ, "127.0.0.1", port) as process:
        wait_for(lambda: len(worker_pids(process)) == 2)
        workers = worker_pids(process)
        for count in range(1, 41):
            assert get("127.0.0.1", port, "/backends")[0] == 200
            assert count % 10 or _requests(port) == count
        assert worker_pids(process) == workers
        for number in range(3):  # the counts of the dead ones were last published at the scrape
            os.kill(max(worker_pids(process)), signal.SIGKILL)
            wait_for(lambda: len(worker_pids(process)) == 2 and not worker_pids(process) & {max(workers)})
            assert _requests(port) == 40 + number
            assert get("127.0.0.1", port, "/backends")[0] == 200
            assert _requests(port) == 41 + number
        before = worker_pids(process)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(worker_pids(process)) == 2 and not worker_pids(process) & before)
        wait_for(lambda: _requests(port) == 43)
    assert {path.name for path in full_disk.iterdir()} == {"filler"}
