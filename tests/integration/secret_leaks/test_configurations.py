"""Configuration errors name the setting, never its value."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.integration.secret_leaks.secret_markers import SecretMarkers

_ROOT: Final = Path(__file__).parents[3]
_VALID: Final = """
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
#: Replacements that make the configuration invalid near a secret.
INVALID: Final = {
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
def markers() -> SecretMarkers:
    return SecretMarkers()


def _write(folder: Path, markers: SecretMarkers, old: str, new: str) -> Path:
    text = _VALID.replace(old, new)
    for name, secret in (("password", "password"), ("secret", "app-secret"), ("key", "secret-key")):
        text = text.replace(f"{{{name}}}", markers.make(secret))
    (path := folder / "gateway.toml").write_text(text)
    return path


@pytest.mark.parametrize(("old", "new"), INVALID.values(), ids=INVALID)
def test_check(tmp_path: Path, markers: SecretMarkers, old: str, new: str) -> None:
    """`module-gateway check` reports an error without any value."""
    assert old in _VALID
    result = CliRunner().invoke(main, ["check", str(_write(tmp_path, markers, old, new))])
    assert (result.exit_code, bool(result.output)) == (1, True)
    assert not list(markers.leaks(result.output))


def test_check_of_a_valid_configuration(tmp_path: Path, markers: SecretMarkers) -> None:
    """Literal secrets give warnings that name their settings."""
    result = CliRunner().invoke(main, ["check", str(_write(tmp_path, markers, "", ""))])
    assert result.exit_code == 0
    assert "app_secret" in result.output
    assert not list(markers.leaks(result.output))


@pytest.mark.parametrize(
    ("old", "new"),
    [INVALID["a misspelt setting"], ("127.0.0.1:1/gateway", "db/gateway?secret={password}")],
    ids=["a misspelt setting", "a URL that only the journal refuses"],
)
def test_gunicorn(tmp_path: Path, markers: SecretMarkers, old: str, new: str) -> None:
    """The server does not start and reports the error without any value."""
    path = _write(tmp_path, markers, old, new)
    environ = {**os.environ, "GATEWAY_CONFIG": str(path), "GATEWAY_BIND": "127.0.0.1:0"}
    command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app"]
    process = subprocess.run(command, cwd=_ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert process.returncode != 0
    assert "backends.cmdb.app_secr" in process.stderr or "is not a URL" in process.stderr
    assert not list(markers.leaks(process.stdout + process.stderr))
