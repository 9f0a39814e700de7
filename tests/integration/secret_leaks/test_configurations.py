"""A configuration that is wrong is named by its settings, never by its values."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.integration.secret_leaks.markers import Markers

_ROOT: Final = Path(__file__).parents[3]
_SOUND: Final = """
[journal]
url = "postgresql://gateway:{password}@127.0.0.1:1/gateway"
[backends.cmdb]
type = "cmdb"
base_url = "http://127.0.0.1:9"
app_code = "gateway"
app_secret = "{secret}"
username = "admin"
[backends.pm]
type = "projectman"
base_url = "http://127.0.0.1:9"
access_key = "AKTEST"
secret_key = "{key}"
"""
#: What is replaced by what; each makes the configuration wrong with a secret near the mistake.
WRONG: Final = {
    "no such scheme": ("postgresql://", "mysql://"),
    "a password in an address": ('base_url = "http://', 'base_url = "http://user:{secret}@'),
    "a secret that is a list": ('app_secret = "{secret}"', 'app_secret = ["{secret}"]'),
    "a secret without an end": ('app_secret = "{secret}"', 'app_secret = "{secret}'),
    "a secret without quotes": ('app_secret = "{secret}"', "app_secret = {secret}"),
    "a secret twice": ('app_secret = "{secret}"', 'app_secret = "{secret}"\napp_secret = "{secret}"'),
    "a misspelt setting": ("app_secret", "app_secrte"),
    "a secret in the wrong place": ('access_key = "AKTEST"', 'access_key = "{key} {secret}"'),
    "a number": ('app_secret = "{secret}"', 'app_secret = "{secret}"\nsettle_seconds = "{secret}"'),
    "no choice": ('type = "projectman"', 'type = "projectman"\ncredentials = "{secret}"'),
    "no digest": ("[journal]", '[[callers]]\nname = "x"\napi_key_sha256 = "{secret}"\n[journal]'),
    "no storage": ("[journal]", '[limits]\nstorage = "rediss//:{secret}@h"\n[journal]'),
}


@pytest.fixture
def markers() -> Markers:
    return Markers()


def _written(folder: Path, markers: Markers, old: str, new: str) -> Path:
    text = _SOUND.replace(old, new)
    for name, secret in (("password", "password"), ("secret", "app-secret"), ("key", "secret-key")):
        text = text.replace(f"{{{name}}}", markers.make(secret))
    (path := folder / "gateway.toml").write_text(text)
    return path


@pytest.mark.parametrize(("old", "new"), WRONG.values(), ids=WRONG)
def test_check(tmp_path: Path, markers: Markers, old: str, new: str) -> None:
    """`module-gateway check` names the mistake and shows no value."""
    assert old in _SOUND
    run = CliRunner().invoke(main, ["check", str(_written(tmp_path, markers, old, new))])
    assert (run.exit_code, bool(run.output)) == (1, True)
    assert not list(markers.leaks(run.output))


def test_check_of_a_sound_one(tmp_path: Path, markers: Markers) -> None:
    """Secrets that are written out are warned about by their settings' names."""
    run = CliRunner().invoke(main, ["check", str(_written(tmp_path, markers, "", ""))])
    assert run.exit_code == 0
    assert "app_secret" in run.output
    assert not list(markers.leaks(run.output))


@pytest.mark.parametrize(
    ("old", "new"),
    [WRONG["a misspelt setting"], ("127.0.0.1:1/gateway", "db/gateway?secret={password}")],
    ids=["a mistake", "an address that only the journal finds wrong"],
)
def test_gunicorn(tmp_path: Path, markers: Markers, old: str, new: str) -> None:
    """The server does not start, says why, and shows no value either."""
    path = _written(tmp_path, markers, old, new)
    environ = {**os.environ, "GATEWAY_CONFIG": str(path), "GATEWAY_BIND": "127.0.0.1:0"}
    command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app"]
    run = subprocess.run(command, cwd=_ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode != 0
    assert "backends.cmdb.app_secr" in run.stderr or "is not a URL" in run.stderr
    assert not list(markers.leaks(run.stdout + run.stderr))
