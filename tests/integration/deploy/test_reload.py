"""SIGHUP with an invalid configuration: real processes serve on, and say what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.deploy.charts import ROOT
from tests.integration.deploy.server_process import (
    GUNICORN,
    SERVE,
    environment,
    free_port,
    get,
    running,
    wait_for,
    worker_pids,
)  # fmt: skip

pytestmark = pytest.mark.loopback


class Server:
    """A running gateway whose secret is in a file."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, port: int) -> None:
        self.process, self.folder, self.port = process, folder, port
        self.config = folder / "gateway.toml"

    def log(self) -> list[dict[str, Any]]:
        """Return the log's records."""
        lines = (self.folder / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def messages(self, start: int) -> list[str]:
        """Return the messages of the log's records after the first ones."""
        return [record["message"] for record in self.log()[start:]]

    def errors(self) -> list[str]:
        """Return the configuration errors in the log."""
        return [record["error"] for record in self.log() if record["message"] == "configuration error"]

    def connections(self) -> list[str]:
        """Return the names of the connections that are served."""
        status, document = get("127.0.0.1", self.port, "/backends")
        assert status == 200, document
        return [backend["name"] for backend in document["backends"]]

    def replace_with_folder(self) -> None:
        """Put a folder in the place of the configuration file."""
        self.config.unlink()
        self.config.mkdir()

    def wait_until_refused(self, start: int) -> None:
        """Wait until the log says, after its first records, that the configuration was not reloaded."""
        wait_for(lambda: "configuration not reloaded" in self.messages(start))

    def wait_for_workers(self, count: int, dead: int) -> None:
        """Wait until this many workers run, of which `dead` is none."""
        wait_for(lambda: len(worker_pids(self.process) - {dead}) == count)

    def is_renamed(self) -> bool:
        """Return whether the new configuration is served; new workers may take long to start."""
        with suppress(TimeoutError):
            return self.connections() == ["renamed"]
        return False

    def replace(self, old: str, new: str) -> None:
        """Change the configuration file."""
        self.config.write_text(self.config.read_text().replace(old, new))

    def append(self, line: str) -> None:
        """Write gunicorn's configuration file, with one more line."""
        text = (ROOT / "config/gunicorn.conf.py").read_text()
        (self.folder / "gunicorn.conf.py").write_text(f"{text}{line}\n")


@pytest.fixture(params=["gunicorn", "serve"])
def server(request: pytest.FixtureRequest, tmp_path: Path, socket_enabled: None) -> Iterator[Server]:
    port = free_port()
    environ = environment(tmp_path, GATEWAY_BIND=f"127.0.0.1:{port}", GATEWAY_WORKERS="2")
    (tmp_path / "secret").write_text("s")
    server = Server(None, tmp_path, port)  # type: ignore[arg-type] # set below
    server.replace("env:APP_SECRET", f"file:{tmp_path}/secret")
    (tmp_path / "gunicorn.conf.py").write_text((ROOT / "config/gunicorn.conf.py").read_text())
    arguments = (*GUNICORN, "-c", str(tmp_path / "gunicorn.conf.py")) if request.param == "gunicorn" else SERVE
    with (tmp_path / "log").open("w") as log, running(arguments, environ, "127.0.0.1", port, log) as server.process:
        wait_for(lambda: len(worker_pids(server.process)) == 2)
        yield server


#: What happens to the files, and a part of the line in the log.
INVALID: Final[dict[str, tuple[Callable[[Server], object], str]]] = {
    "unknown setting": (lambda server: server.replace("username", "user_name"), "user_name: is not a setting"),
    "half-written": (lambda server: server.config.write_text('[journal]\nurl = "sqli'), "gateway.toml"),
    "not UTF-8": (lambda server: server.config.write_bytes(b"\xff"), "gateway.toml"),
    "empty": (lambda server: server.config.write_text(""), "backends"),
    "deleted": (lambda server: server.config.unlink(), "gateway.toml"),
    "a folder": (lambda server: server.replace_with_folder(), "gateway.toml"),
    "secret deleted": (lambda server: (server.folder / "secret").unlink(), "app_secret"),
    "journal of one worker": (lambda server: server.replace(f"{server.folder}/journal.db", ":memory:"), "journal.url"),
    "gunicorn's file": (lambda server: server.append("workers = 'many'"), "gunicorn.conf.py: workers"),
    "gunicorn's syntax": (lambda server: server.append("workers ="), "gunicorn.conf.py"),
}
#: For `serve`, which differs only in how the server starts.
FEW: Final = ("unknown setting", "secret deleted")


@pytest.mark.timeout(400)
def test_an_invalid_configuration(server: Server, request: pytest.FixtureRequest) -> None:
    """With each error the workers stay, also one that starts later; the corrected file is reloaded."""
    good, secret = server.config.read_text(), server.folder / "secret"
    names = FEW if "serve" in request.node.name else INVALID
    for name, (spoil, expected) in ((name, INVALID[name]) for name in names):
        workers, count = worker_pids(server.process), len(server.log())
        spoil(server)
        server.process.send_signal(signal.SIGHUP)
        server.wait_until_refused(count)
        assert any(expected in error for error in server.errors()[-2:]), (name, server.errors())
        assert worker_pids(server.process) == workers, name
        assert server.connections() == ["cmdb"], name
        if server.config.is_dir():
            server.config.rmdir()
        if name in {"deleted", "secret deleted"}:
            os.kill(max(workers), signal.SIGKILL)
            if name == "deleted":
                server.process.send_signal(signal.SIGTTIN)
            expected_workers = 3 if "deleted" in names else 2
            server.wait_for_workers(expected_workers, max(workers))
            for _ in range(5):
                assert server.connections() == ["cmdb"], name
        server.config.write_text(good)
        secret.write_text("s")
        server.append("")
    workers = worker_pids(server.process)
    server.replace("backends.cmdb", "backends.renamed")
    assert server.connections() == ["cmdb"]
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: worker_pids(server.process) and not worker_pids(server.process) & workers)
    wait_for(server.is_renamed)
    assert server.process.poll() is None
