"""The image: its files, user and command."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.deploy.charts import ROOT, manifest
from tests.integration.deploy.image import DOCKERFILE, copied_files, final_arguments, instructions, is_in_build_context

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
