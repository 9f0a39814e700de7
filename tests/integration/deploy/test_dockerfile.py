"""The image: what goes into it, and as whom and how it runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.deploy.charts import ROOT, VALUES, only, template
from tests.integration.deploy.image import DOCKERFILE, admitted, copied, instructions, last

#: Beside the interpreter, where a wheel puts it, or anywhere on the PATH.
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")


@pytest.mark.skipif(HADOLINT is None, reason="no hadolint here")
def test_hadolint_finds_nothing() -> None:
    """The usual mistakes are not made."""
    assert HADOLINT is not None
    done = subprocess.run([HADOLINT, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("requirements", ["requirements.txt", "requirements-tracing.txt"])
def test_everything_copied_is_there(requirements: str) -> None:
    """Each file exists and is let into the build, whichever lock is asked for."""
    found = copied(requirements)
    assert f"deploy/{requirements}" in {each.source for each in found}
    for each in found:
        assert (ROOT / each.source).exists(), each.source
        assert admitted(each.source), each.source


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
def test_nothing_else_gets_in(path: str) -> None:
    """Neither local state nor a configuration, which may hold secrets, is sent to the build."""
    assert not admitted(path)


def test_nothing_of_the_build_remains() -> None:
    """The image begins anew and takes over the environment alone; no secret is an argument or a variable."""
    final = instructions()[-1][0]
    assert final == 1
    taken = [rest for stage, word, rest in instructions() if stage == final and word == "COPY" and "--from" in rest]
    assert taken == ["--from=build /opt/module-gateway /opt/module-gateway"]
    told = " ".join(rest for _, word, rest in instructions() if word in {"ARG", "ENV"})
    assert not re.search("secret|password|token", told, re.IGNORECASE)


def test_the_base_is_pinned() -> None:
    """Both stages are of one image with a full tag, and a digest can be given beside it."""
    arguments = {rest.partition("=")[0]: rest.partition("=")[2] for _, word, rest in instructions() if word == "ARG"}
    assert re.fullmatch(r"python:3\.11-slim-\w+", arguments["PYTHON_IMAGE"])
    bases = [rest for _, word, rest in instructions() if word == "FROM"]
    assert bases == ["${PYTHON_IMAGE}${PYTHON_DIGEST} AS build", "${PYTHON_IMAGE}${PYTHON_DIGEST}"]


def test_every_package_is_known_by_its_hash() -> None:
    """From an index pip takes only what the locks carry a hash of, what builds included."""
    commands = " && ".join(rest for _, word, rest in instructions() if word == "RUN").split("&&")
    installs = [command for command in commands if "pip install" in command]
    assert len(installs) == 3
    for command in installs:
        assert "--no-deps" in command
        assert "--require-hashes" in command or "--no-index --no-deps --no-build-isolation ./source" in command


def test_what_builds_stands_in_the_lock(tmp_path: Path) -> None:
    """The line of awk cuts setuptools with all of its hashes, and nothing else, out of the developers' lock."""
    command = next(rest for _, word, rest in instructions() if word == "RUN" and "awk" in rest)
    program = re.search("awk '(.*?)'", command)
    assert program is not None
    lock = ROOT / "deploy/requirements-dev.txt"
    cut = subprocess.run(["awk", program[1], str(lock)], capture_output=True, text=True, check=True).stdout
    name, *hashes = re.sub(r"\\\n", " ", cut).split()
    assert name.startswith("setuptools==")
    assert hashes
    assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", each) for each in hashes)


def test_it_runs_as_nobody_in_particular() -> None:
    """The user is a number other than 0, the one that the chart and compose name too."""
    user, group = last("USER").split(":")
    assert (user, group) == ("10001", "10001")
    context = only(template(VALUES["defaults"]), "Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert (str(context["runAsUser"]), str(context["runAsGroup"])) == (user, group)


def test_gunicorn_is_the_first_process() -> None:
    """The command is a list, so that no shell stands between the signal and gunicorn."""
    assert json.loads(last("CMD")) == ["gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app"]
    assert last("STOPSIGNAL") == "SIGTERM"
    assert "ENTRYPOINT" not in {word for _, word, _ in instructions()}
