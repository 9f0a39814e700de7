"""The files of the image, laid out as in it: the service starts from them, and from nothing of the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.integration.deploy.charts import ROOT
from tests.integration.deploy.image import copied_files as copied
from tests.integration.deploy.image import final_arguments as last
from tests.integration.deploy.image import is_in_build_context as admitted
from tests.integration.deploy.sockets import free_port

CONFIG = """
[journal]
url = "sqlite:///{folder}/journal.db"
[auth]
mode = "required"
[[callers]]
name = "one"
api_key_sha256 = "{digest}"
allow = ["*:cmdb:*"]
[backends.cmdb]
type = "cmdb"
base_url = "http://127.0.0.1:1"
app_code = "gateway"
app_secret = "file:{folder}/secret"
username = "admin"
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build's two stages without a container: a wheel from what is copied, unpacked; and the working folder."""
    folder = tmp_path_factory.mktemp("image")
    for each in copied():
        base = folder / ("build" if each.stage == 0 else "srv")
        target = base / each.target
        if (ROOT / each.source).is_dir():
            shutil.copytree(ROOT / each.source, target, ignore=_left_out)
        else:
            target = target / Path(each.source).name if each.target.endswith("/") else target
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / each.source, target)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    source = str(folder / "build/source")
    subprocess.run([*command, "--disable-pip-version-check", "--wheel-dir", str(folder), source], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    (folder / "secret").write_text("s", encoding="utf-8")
    (folder / "gateway.toml").write_text(CONFIG.format(folder=folder, digest="0" * 64), encoding="utf-8")
    return folder


def _left_out(folder: str, names: list[str]) -> set[str]:
    place = Path(folder).relative_to(ROOT)
    return {name for name in names if not admitted((place / name).as_posix())}


@pytest.fixture
def environment(image: Path) -> Mapping[str, str]:
    """The image's variables; the installed package comes before the repository's."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(image / "site"),
        "GATEWAY_CONFIG": str(image / "gateway.toml"),
        "GATEWAY_BIND": "0.0.0.0:8000",
        "HOME": "/nonexistent",
        "TMPDIR": str(image),
    }


def command() -> list[str]:
    """The image's command, run by this interpreter."""
    return [sys.executable, "-m", *json.loads(last("CMD"))]


def test_the_wheel_has_what_the_service_serves(image: Path) -> None:
    """Every file of the package that is no cache is in the wheel, the pages of /docs among them."""
    here = {path.relative_to(ROOT) for path in (ROOT / "gateway").rglob("*") if path.is_file()}
    there = {path.relative_to(image / "site") for path in (image / "site/gateway").rglob("*") if path.is_file()}
    assert {path for path in here if admitted(path.as_posix())} == there
    assert Path("gateway/api/docs/index.html") in there


def test_the_command_finds_everything(image: Path, environment: Mapping[str, str]) -> None:
    """The server reads its configuration and loads the service from the image's files alone."""
    line = [*command(), "--check-config"]
    done = subprocess.run(line, cwd=image / "srv", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    probe = "import gateway; print(gateway.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", probe], cwd=image / "srv", env=environment, capture_output=True, check=False
    )
    assert found.stdout.decode().startswith(str(image / "site"))


def test_a_wrong_configuration_does_not_start(image: Path, environment: Mapping[str, str]) -> None:
    """The image binds an address that everybody can reach: without callers it refuses to start, and says why."""
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
def here(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The image's variables, with an address of this machine alone."""
    return {**environment, "GATEWAY_BIND": f"127.0.0.1:{free_port()}"}


@pytest.fixture
def running(image: Path, here: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The service as the image runs it."""
    process = subprocess.Popen(
        command(), cwd=image / "srv", env=here, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.loopback
def test_the_health_check_tells_the_truth(running: subprocess.Popen[str], image: Path, here: Mapping[str, str]) -> None:
    """The image's health check fails while nobody listens, passes once the service does, and fails after SIGTERM."""
    match = re.fullmatch(r"--.*? CMD (\[.*\])", last("HEALTHCHECK"))
    assert match is not None
    _, *check = json.loads(match[1])

    def healthy() -> bool:
        return subprocess.run([sys.executable, *check], env=here, capture_output=True, check=False).returncode == 0

    until = time.monotonic() + 30
    while not healthy() and running.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    assert healthy()
    running.terminate()
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    assert not healthy()
    assert "ontrol s" not in errors  # no control socket, which a read-only root file system would not take
    assert not list((image / "srv").rglob("*.ctl"))
