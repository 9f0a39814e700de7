"""Files: the configuration itself, what it points to, and the repository's own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from gateway.app import load_settings
from gateway.settings import ConfigurationError, load_toml
from tests.unit.settings.conftest import Read

_CMDB: Final = """
[backends.cmdb]
type = "cmdb"
base_url = "https://bkapi.example.com/api/bk-cmdb/prod/"
app_code = "gateway"
app_secret = "env:SECRET"
username = "gateway"
"""
_ROOT: Final = Path(__file__).parents[3]


_ENVIRON: Final = {
    **dict.fromkeys(("CMDB_APP_SECRET", "HUAWEI_AK", "HUAWEI_SK"), "value"),
    "SANDBOX_JOURNAL": "sqlite:///journal.db",
    "SANDBOX_CMDB": "http://127.0.0.1:8001",
    "SANDBOX_PROJECTMAN": "http://127.0.0.1:8002",
    "PORTAL_SHA256": "0" * 64,
}


def test_a_ca_file_is_read_at_start(read: Read) -> None:
    """The file has at least one certificate; an empty path means the public authorities."""
    certifi = pytest.importorskip("certifi")
    options = read(_CMDB + f"ca_file = '{certifi.where()}'", SECRET="s").backends[0].options
    assert options.limits.ca_file == certifi.where()
    assert not read(_CMDB + "ca_file = ''", SECRET="s").backends[0].options.limits.ca_file


@pytest.mark.parametrize("name", ["config/gateway.example.toml", "gateway/cli/sandbox.toml"])
def test_the_configurations_of_the_repository_are_valid(name: str) -> None:
    """They load with the variables that they name, and contain no secret."""
    settings = load_settings({**_ENVIRON, "GATEWAY_CONFIG": str(_ROOT / name)})
    assert {connection.type for connection in settings.backends} == {"cmdb", "projectman"}
    assert settings.warnings == ()


def test_the_commented_out_settings_of_the_example_are_valid(tmp_path: Path) -> None:
    """Every line that starts with `# name =` is a setting that exists."""
    text = (_ROOT / "config" / "gateway.example.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("# [") or (line.startswith("# ") and " = " in line)]
    skipped = ("# ca_file", "# default_owner")  # a file that is not here, a word in place of an id
    settings = [line for line in lines if not line.startswith(skipped)]
    assert len(settings) >= 3
    for line in settings:
        text = text.replace(line, line.removeprefix("# "))
    path = tmp_path / "all.toml"
    path.write_text(text, encoding="utf-8")
    load_settings(_ENVIRON, str(path))


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "No such file"), (b"[server", "Expected"), (b"\xff", "codec"), (b"a = 1\na = 2", "overwrite")],
)
def test_an_unreadable_file_is_one_error(tmp_path: Path, content: bytes | None, expected: str) -> None:
    """The line has the path and the parser's message."""
    path = tmp_path / "gateway.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_toml(str(path))
    (line,) = caught.value.errors
    assert line.startswith(f"{path}: ")
    assert expected in line


def test_a_file_must_be_named() -> None:
    """There is no default path."""
    with pytest.raises(ConfigurationError, match="GATEWAY_CONFIG"):
        load_settings({})
