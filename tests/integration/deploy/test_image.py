"""The image: its files, user and command; the service starts from its files, without the repository."""

from __future__ import annotations

import fnmatch
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
from typing import Final, NamedTuple

import pytest

from tests.integration.deploy import server_process
from tests.integration.deploy.charts import ROOT, manifest

DOCKERFILE: Final = ROOT / "deploy/Dockerfile"


class CopiedFile(NamedTuple):
    """A file or folder of the repository and its target in the image."""

    source: str
    target: str
    stage: int


def instructions() -> list[tuple[int, str, str]]:
    """Return stage, keyword and arguments of each instruction; continued lines are joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    result, stage = [], -1
    for line in filter(None, re.sub(r"\\\n\s*", " ", text).splitlines()):
        word, _, rest = line.partition(" ")
        stage += word == "FROM"
        result.append((stage, word, rest.strip()))
    return result


def final_arguments(word: str) -> str:
    """Return the arguments of the last instruction of this keyword in the final stage."""
    return [rest for stage, keyword, rest in instructions() if (stage, keyword) == (1, word)][-1]


def copied_files(requirements: str = "requirements.txt") -> list[CopiedFile]:
    """Return the files copied from the repository; `requirements` is the lock file."""
    copies = [(stage, rest.split()) for stage, word, rest in instructions() if word == "COPY"]
    return [
        CopiedFile(source.replace("${REQUIREMENTS}", requirements), words[-1], stage)
        for stage, words in copies
        if not words[0].startswith("--from")
        for source in words[:-1]
    ]


def is_in_build_context(path: str) -> bool:
    """Return whether .dockerignore includes a path: it excludes all, includes some by name, and excludes names."""
    text = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    included = [line[1:] for line in lines if line.startswith("!")]
    excluded = [line[3:] for line in lines if line.startswith("**/")]
    assert lines == ["*", *(f"!{name}" for name in included), *(f"**/{pattern}" for pattern in excluded)]
    return any(f"{path}/".startswith(f"{name}/") for name in included) and not any(
        fnmatch.fnmatchcase(part, pattern) for part in path.split("/") for pattern in excluded
    )


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


#: Installed by a wheel beside the interpreter, or on the PATH.
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
def test_hadolint() -> None:
    """Hadolint reports no error."""
    assert HADOLINT is not None
    process = subprocess.run([HADOLINT, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout


@pytest.mark.parametrize("requirements", ["requirements.txt", "requirements-tracing.txt"])
def test_copied_files_exist(requirements: str) -> None:
    """Each copied file exists and is in the build context, for each lock file."""
    sources = [file.source for file in copied_files(requirements)]
    assert f"deploy/{requirements}" in sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert is_in_build_context(source), source


@pytest.mark.parametrize(
    "path",
    [
        ".venv/bin/python",
        ".git/config",
        "var/journal.db",
        "my.toml",
        "config/gateway.toml",
        "deploy/compose/gateway.toml",
        "gateway/api/__pycache__/modules.cpython-311.pyc",
        "tests/conftest.py",
    ],
)
def test_excluded_files(path: str) -> None:
    """Local state and configurations, which may have secrets, are not in the build context."""
    assert not is_in_build_context(path)


def test_final_stage() -> None:
    """The final stage copies only the virtual environment; no argument or variable has a secret."""
    final = instructions()[-1][0]
    assert final == 1
    copies = [rest for stage, word, rest in instructions() if stage == final and word == "COPY" and "--from" in rest]
    assert copies == ["--from=build /opt/module-gateway /opt/module-gateway"]
    variables = " ".join(rest for _, word, rest in instructions() if word in {"ARG", "ENV"})
    assert not re.search("secret|password|token", variables, re.IGNORECASE)


def test_base_image_is_pinned() -> None:
    """Both stages use one image with a full tag and an optional digest."""
    arguments = {rest.partition("=")[0]: rest.partition("=")[2] for _, word, rest in instructions() if word == "ARG"}
    assert re.fullmatch(r"python:3\.11-slim-\w+", arguments["PYTHON_IMAGE"])
    bases = [rest for _, word, rest in instructions() if word == "FROM"]
    assert bases == ["${PYTHON_IMAGE}${PYTHON_DIGEST} AS build", "${PYTHON_IMAGE}${PYTHON_DIGEST}"]


def test_packages_have_hashes() -> None:
    """Pip installs only packages with a hash in the lock files, including build requirements."""
    commands = " && ".join(rest for _, word, rest in instructions() if word == "RUN").split("&&")
    installs = [command for command in commands if "pip install" in command]
    assert len(installs) == 3
    for command in installs:
        assert "--no-deps" in command
        assert "--require-hashes" in command or "--no-index --no-deps --no-build-isolation ./source" in command


def test_build_requirement_is_locked(tmp_path: Path) -> None:
    """The awk command selects setuptools with its hashes, and nothing else, from the lock file."""
    command = next(rest for _, word, rest in instructions() if word == "RUN" and "awk" in rest)
    program = re.search("awk '(.*?)'", command)
    assert program is not None
    lock = ROOT / "deploy/requirements-dev.txt"
    selected = subprocess.run(["awk", program[1], str(lock)], capture_output=True, text=True, check=True).stdout
    name, *hashes = re.sub(r"\\\n", " ", selected).split()
    assert name.startswith("setuptools==")
    assert hashes
    assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", value) for value in hashes)


def test_user() -> None:
    """The user is a number other than 0, the same as in the chart."""
    user, group = final_arguments("USER").split(":")
    assert (user, group) == ("10001", "10001")
    context = manifest("defaults", "Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert (str(context["runAsUser"]), str(context["runAsGroup"])) == (user, group)


def test_command() -> None:
    """The command is a list, so that signals reach gunicorn without a shell."""
    assert json.loads(final_arguments("CMD")) == ["gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app"]
    assert final_arguments("STOPSIGNAL") == "SIGTERM"
    assert "ENTRYPOINT" not in {word for _, word, _ in instructions()}
