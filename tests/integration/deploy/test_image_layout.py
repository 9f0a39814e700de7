"""The files of the image in its layout: the service starts from them, without the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.integration.deploy import server_process
from tests.integration.deploy.charts import ROOT
from tests.integration.deploy.image import copied_files, final_arguments, is_in_build_context


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both stages of the build without a container: the unpacked wheel, and the working folder."""
    folder = tmp_path_factory.mktemp("image")
    for entry in copied_files():
        target = folder / ("build" if entry.stage == 0 else "srv") / entry.target
        if (ROOT / entry.source).is_dir():
            shutil.copytree(ROOT / entry.source, target, ignore=_ignored)
        else:
            target = target / Path(entry.source).name if entry.target.endswith("/") else target
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / entry.source, target)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    source = str(folder / "build/source")
    subprocess.run([*command, "--disable-pip-version-check", "--wheel-dir", str(folder), source], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder


def _ignored(folder: str, names: list[str]) -> set[str]:
    path = Path(folder).relative_to(ROOT)
    return {name for name in names if not is_in_build_context((path / name).as_posix())}


@pytest.fixture
def environment(image: Path) -> Mapping[str, str]:
    """The image's variables; the installed package comes before the repository's."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(image / "site"),
        "GATEWAY_BIND": "0.0.0.0:8000",
        **server_process.environment(image, "0" * 64),
        "HOME": "/nonexistent",
        "TMPDIR": str(image),
    }


def command() -> list[str]:
    """The image's command, run by this interpreter."""
    return [sys.executable, "-m", *json.loads(final_arguments("CMD"))]


def test_the_wheel_contains_every_file(image: Path) -> None:
    """Every file of the package that is not a cache is in the wheel, for example the pages of /docs."""
    source = {path.relative_to(ROOT) for path in (ROOT / "gateway").rglob("*") if path.is_file()}
    wheel = {path.relative_to(image / "site") for path in (image / "site/gateway").rglob("*") if path.is_file()}
    assert {path for path in source if is_in_build_context(path.as_posix())} == wheel
    assert Path("gateway/api/docs/index.html") in wheel


def test_the_command_finds_everything(image: Path, environment: Mapping[str, str]) -> None:
    """The server reads its configuration and loads the service from the files of the image."""
    line = [*command(), "--check-config"]
    done = subprocess.run(line, cwd=image / "srv", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    probe = "import gateway; print(gateway.__file__)"
    imported = subprocess.run(
        [sys.executable, "-c", probe], cwd=image / "srv", env=environment, capture_output=True, check=False
    )
    assert imported.stdout.decode().startswith(str(image / "site"))


def test_a_public_address_needs_authentication(image: Path, environment: Mapping[str, str]) -> None:
    """The image binds a public address: without authentication the service does not start, and names the setting."""
    config = image / "open.toml"
    config.write_text(
        (image / "gateway.toml").read_text(encoding="utf-8").replace("required", "none"), encoding="utf-8"
    )
    line = [*command(), "--check-config"]
    changed = {**environment, "GATEWAY_CONFIG": str(config)}
    done = subprocess.run(line, cwd=image / "srv", env=changed, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "auth.mode" in done.stderr


@pytest.fixture
def local(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The image's variables, with a loopback address."""
    return {**environment, "GATEWAY_BIND": f"127.0.0.1:{server_process.free_port()}"}


@pytest.fixture
def running(image: Path, local: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The service as the image runs it."""
    process = subprocess.Popen(
        command(), cwd=image / "srv", env=local, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.loopback
def test_the_health_check(running: subprocess.Popen[str], image: Path, local: Mapping[str, str]) -> None:
    """The image's health check passes while the service runs, and fails after SIGTERM."""
    match = re.fullmatch(r"--.*? CMD (\[.*\])", final_arguments("HEALTHCHECK"))
    assert match is not None
    _, *check = json.loads(match[1])

    def healthy() -> bool:
        return subprocess.run([sys.executable, *check], env=local, capture_output=True, check=False).returncode == 0

    deadline = time.monotonic() + 30
    while not healthy() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert healthy()
    running.terminate()
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    assert not healthy()
    assert "ontrol s" not in errors  # no control socket, which a read-only root file system would not take
    assert not list((image / "srv").rglob("*.ctl"))


@pytest.mark.loopback
def test_serve_runs_from_the_wheel(image: Path, environment: Mapping[str, str], tmp_path: Path) -> None:
    """`module-gateway serve` needs no checkout: it answers /readyz, logs its start once, and ends on SIGTERM."""
    address = f"127.0.0.1:{server_process.free_port()}"
    variables = {name: value for name, value in environment.items() if not name.startswith("GATEWAY_")}
    options = ["--config", str(image / "gateway.toml"), "--bind", address, "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "serve", *options],
        cwd=tmp_path,
        env=variables,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stderr is not None
        start = json.loads(process.stderr.readline())
        assert (start["message"], start["addresses"], start["workers"]) == ("gateway started", [address], 2)
        assert (start["connections"], start["journal"]) == (["cmdb"], f"SQLite at {image}/journal.db")
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=30) as response:
            assert response.status == 200
        process.terminate()
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, log
    assert "gateway started" not in log
