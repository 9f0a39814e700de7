"""The values of a valid configuration: defaults, references, secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from gateway.backends import discover
from gateway.backends.projectman.options import AccessKey, IamPassword
from gateway.settings import ConfigurationError, Secret, SettingsSchema, is_loopback, parse_settings
from gateway.settings.fields import Flag
from tests.unit.settings.conftest import Errors, Read

_CMDB: Final = """
[backends.cmdb]
type = "cmdb"
base_url = "https://bkapi.example.com/api/bk-cmdb/prod/"
app_code = "gateway"
app_secret = "env:SECRET"
username = "gateway"
"""
_PM: Final = """
[backends.projectman]
type = "projectman"
secret_key = "env:SECRET"
access_key = "AK"
"""


def test_defaults(read: Read) -> None:
    """The shortest valid file."""
    settings = read(_CMDB, SECRET="hush")
    assert (settings.bind, settings.deadline_seconds, settings.warnings) == ("127.0.0.1:8000", 10.0, ())
    (connection,) = settings.backends
    options = connection.options
    assert (connection.name, connection.type) == ("cmdb", "cmdb")
    assert options.base_url == "https://bkapi.example.com/api/bk-cmdb/prod"
    assert (options.route, options.tenant_id, options.attributes, options.settle_seconds) == ("esb", "", (), 130.0)
    assert options.name_max_characters == 256
    assert (options.limits.connect_seconds, options.limits.hard_timeout_seconds) == (3.0, 35.0)
    assert options.limits.ca_file is None
    assert (options.limits.idle_seconds, options.limits.requests_per_second) == (15.0, 0.0)
    assert (options.limits.concurrent_calls, options.limits.queued_calls) == (1000, 1000)
    assert (options.limits.circuit_failures, options.limits.circuit_seconds) == (10, 10.0)


def test_transport_settings(read: Read) -> None:
    """Every connection has these settings; 0 disables some of them."""
    said = """
        idle_seconds = 4
        requests_per_second = 0.5
        concurrent_calls = 20
        queued_calls = 0
        circuit_failures = 0
        circuit_seconds = 2.5
    """
    for text in (_CMDB, _PM + "region = 'cn-north-4'"):
        limits = read(text + said, SECRET="hush").backends[0].options.limits
        assert (limits.idle_seconds, limits.requests_per_second, limits.circuit_seconds) == (4.0, 0.5, 2.5)
        assert (limits.concurrent_calls, limits.queued_calls, limits.circuit_failures) == (20, 0, 0)


@pytest.mark.parametrize(
    ("said", "rate"),
    [
        ("", 0.0),
        ("route = 'esb'", 0.0),
        ("route = 'apigw'", 100.0),
        ("route = 'apigw'\nrequests_per_second = 0", 0.0),
        ("route = 'apigw'\nrequests_per_second = 30", 30.0),
    ],
)
def test_default_rate_of_the_api_gateway(read: Read, said: str, rate: float) -> None:
    """documented: cmdb.md §1b: 100 requests a second for an application; the setting overrides it, and 0 removes it."""
    assert read(_CMDB + said, SECRET="hush").backends[0].options.limits.requests_per_second == rate


def test_two_connections_of_one_type(read: Read) -> None:
    """The table's name is the connection's name."""
    settings = read(_CMDB + _CMDB.replace("backends.cmdb", "backends.cmdb-2"), SECRET="hush")
    assert [connection.name for connection in settings.backends] == ["cmdb", "cmdb-2"]


def test_the_mode_of_a_connection(read: Read) -> None:
    """Every connection has it, whatever its type; by default it accepts writes."""
    said = "mode = 'read_only'\nretry_after_seconds = 90\n"
    settings = read(_CMDB + said + _PM + "region = 'cn-north-4'", SECRET="hush")
    modes = [(connection.mode, connection.retry_after_seconds) for connection in settings.backends]
    assert modes == [("read_only", 90.0), ("read_write", 60.0)]


def test_env_and_file_are_resolved_everywhere(read: Read, tmp_path: Path) -> None:
    """Any string can be a reference; line feeds at the end of a file are removed."""
    (tmp_path / "secret").write_text("hush, \n quiet\r\n", encoding="utf-8")
    text = _CMDB.replace("env:SECRET", f"file:{tmp_path}/secret").replace('"gateway"', '"env:NAME"')
    options = read(text, NAME="robot").backends[0].options
    assert options.app_secret == Secret("hush, \n quiet")
    assert (options.app_code, options.username) == ("robot", "robot")


def test_a_region_determines_the_addresses(read: Read) -> None:
    """documented: projectman.md §7: the service's and IAM's addresses follow from the region."""
    signed = read(_PM + "region = 'cn-north-4'", SECRET="hush").backends[0].options
    assert signed.base_url == "https://projectman-ext.cn-north-4.myhuaweicloud.com"
    assert signed.auth == AccessKey(
        access_key=Secret("AK"), secret_key=Secret("hush"), security_token=None, iam_project_id=""
    )
    token = """
        [backends.pm]
        type = "projectman"
        region = "cn-east-2"
        credentials = "token"
        domain = "d"
        user = "u"
        password = "env:SECRET"
    """
    assert read(token, SECRET="hush").backends[0].options.auth == IamPassword(
        iam_url="https://iam.cn-east-2.myhuaweicloud.com",
        domain="d",
        user="u",
        password=Secret("hush"),
        project="cn-east-2",
    )


@pytest.mark.parametrize(("word", "kept"), [("", False), ("refused", False), ("kept", True)])
def test_optional_projectman_settings(read: Read, word: str, kept: bool) -> None:
    """Temporary keys, the default owner, and the handling of an omitted description."""
    said = f"omitted_description = '{word}'\n" if word else ""
    owner, project = "0" * 32, "a" * 32
    text = f"""
        base_url = 'http://127.0.0.1:8002'
        security_token = 'env:STS'
        default_owner = '{owner}'
        iam_project_id = '{project}'
    """
    options = read(_PM + said + text, SECRET="hush", STS="sts").backends[0].options
    assert (options.base_url, options.default_owner) == ("http://127.0.0.1:8002", owner)
    assert options.keeps_omitted_description is kept
    assert (options.auth.security_token, options.auth.iam_project_id) == (Secret("sts"), project)


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:8001", "https://[::1]:443/a", "https://h", "https://h.example/a-b/~c/v1.0", "http://h:1/"],
)
def test_a_url_loses_its_last_slash(read: Read, address: str) -> None:
    """Paths are appended to it."""
    text = _CMDB.replace("https://bkapi.example.com/api/bk-cmdb/prod/", address)
    assert read(text, SECRET="s").backends[0].options.base_url == address.rstrip("/")


def test_a_literal_secret_causes_a_warning(read: Read) -> None:
    """One line per secret; references cause no warning."""
    settings = read(_CMDB.replace("env:SECRET", "hush") + _PM + "region = 'cn-north-4'", SECRET="s")
    (warning,) = settings.warnings
    assert warning.startswith("backends.cmdb.app_secret: is written out in the file")
    assert "hush" not in warning


@pytest.mark.parametrize(("seconds", "warns"), [(119, True), (119.5, True), (120, False), (130, False)])
@pytest.mark.parametrize("connection", ["cmdb", "pm"])
def test_a_short_settle_window_causes_a_warning(read: Read, connection: str, seconds: float, warns: bool) -> None:
    """A window that ends before the backend has committed a create would report it as not applied."""
    text = _CMDB if connection == "cmdb" else _PM + "region = 'cn-north-4'\n"
    settings = read(f"{text}\nsettle_seconds = {seconds}", SECRET="s")
    assert settings.backends[0].options.settle_seconds == seconds
    assert len(settings.warnings) == warns
    expected = f"backends.{settings.backends[0].name}.settle_seconds: is shorter"
    assert all(line.startswith(expected) for line in settings.warnings)


@pytest.mark.parametrize("value", ["0", "true", "'130'", "nan", "86401"])
def test_a_settle_window_is_a_number(errors: Errors, value: str) -> None:
    """An invalid value is an error, with the text of other numbers."""
    (line,) = errors(f"{_CMDB}\nsettle_seconds = {value}", SECRET="s")
    assert line.startswith("backends.cmdb.settle_seconds: must be ")


def test_repr_hides_secrets(read: Read) -> None:
    """Settings can be printed and logged."""
    text = _CMDB + _PM + "region = 'cn-north-4'\nsecurity_token = 'env:SECRET'"
    settings = read(text, SECRET="hush")
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings.backends[0].options.app_secret)
    assert settings.backends[0].options.app_secret.value == "hush"


@pytest.mark.parametrize(
    ("bind", "own"),
    [
        ("127.0.0.1:8000", True),
        ("127.0.0.2:8000", True),
        ("[::1]:8000", True),
        ("localhost:8000", True),
        ("unix:/run/gateway.sock", True),
        ("0.0.0.0:8000", False),
        ("[::]:8000", False),
        ("192.168.1.1:80", False),
        ("gateway:80", False),
        ("localhost.example.com:80", False),
    ],
)
def test_loopback(bind: str, own: bool) -> None:
    """Loopback addresses, localhost and unix sockets are reachable from this machine only."""
    assert is_loopback(bind) is own


class _ToySchema(SettingsSchema):
    fast = Flag()


@pytest.mark.parametrize("value", [True, False])
def test_flags_are_true_or_false(value: bool) -> None:
    """A flag is one of TOML's own two words."""
    document = {"backends": {"toy": {"type": "toy", "fast": value}}}
    assert parse_settings(document, {}, {"toy": _ToySchema}).backends[0].options == {"fast": value}
    document["backends"]["toy"]["fast"] = 1
    with pytest.raises(ConfigurationError, match=r"backends\.toy\.fast: must be true or false"):
        parse_settings(document, {}, {"toy": _ToySchema})


def test_backends_are_discovered() -> None:
    """A package is a type; it provides an OptionsSchema and create_backend."""
    plugins = discover()
    assert {"cmdb", "projectman"} <= plugins.keys()
    assert all(issubclass(plugin.OptionsSchema, SettingsSchema) for plugin in plugins.values())
    assert all(callable(plugin.create_backend) for plugin in plugins.values())
