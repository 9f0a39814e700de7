"""Configuration errors: every kind, all at once, one line each."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.unit.settings.conftest import CMDB, Errors

_PM: Final = """
[backends.pm]
type = "projectman"
region = "cn-north-4"
access_key = "AK"
secret_key = "env:SECRET"
"""
_TOKEN: Final = """
[backends.pm]
type = "projectman"
base_url = "https://projectman.example.com"
credentials = "token"
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # no backends
        ("", "backends: at least one [backends.NAME] is needed"),
        ("[backends]", "backends: at least one [backends.NAME] is needed"),
        # wrong types
        ("server = 7" + CMDB, "server: must be a table"),
        ('[server]\ndeadline_seconds = "10"' + CMDB, "server.deadline_seconds: must be a number"),
        ("[server]\ndeadline_seconds = true" + CMDB, "server.deadline_seconds: must be a number"),
        ("backends = []", "backends: must be a table"),
        (CMDB + "route = 1", "backends.cmdb.route: must be a string"),
        (CMDB + 'attributes = "team"', "backends.cmdb.attributes: must be a list of strings"),
        (CMDB + "attributes = [1]", "backends.cmdb.attributes[1]: must be a string"),
        (CMDB.replace('"gateway"\napp', "1\napp"), "backends.cmdb.app_code: must be a string"),
        (CMDB.replace('"env:SECRET"', "1"), "backends.cmdb.app_secret: must be a string"),
        # out of range
        ("[server]\ndeadline_seconds = 0" + CMDB, "server.deadline_seconds: must be greater than 0 and at most 86400"),
        (
            "[server]\ndeadline_seconds = -1.5" + CMDB,
            "server.deadline_seconds: must be greater than 0 and at most 86400",
        ),
        (
            "[server]\ndeadline_seconds = nan" + CMDB,
            "server.deadline_seconds: must be greater than 0 and at most 86400",
        ),
        (
            "[server]\ndeadline_seconds = inf" + CMDB,
            "server.deadline_seconds: must be greater than 0 and at most 86400",
        ),
        (CMDB + "connect_seconds = 86401", "backends.cmdb.connect_seconds: must be greater than 0 and at most 86400"),
        (
            CMDB + "hard_timeout_seconds = 86401",
            "backends.cmdb.hard_timeout_seconds: must be greater than 0 and at most 86400",
        ),
        (_PM + "settle_seconds = 0", "backends.pm.settle_seconds: must be greater than 0 and at most 86400"),
        (CMDB + "idle_seconds = -1", "backends.cmdb.idle_seconds: must be at least 0 and at most 86400"),
        (CMDB + "circuit_seconds = 0", "backends.cmdb.circuit_seconds: must be greater than 0 and at most 86400"),
        (CMDB + "concurrent_calls = 0", "backends.cmdb.concurrent_calls: must be greater than 0 and at most 100000"),
        (CMDB + "concurrent_calls = 1.5", "backends.cmdb.concurrent_calls: must be a whole number"),
        (CMDB + "queued_calls = -1", "backends.cmdb.queued_calls: must be at least 0 and at most 100000"),
        (_PM + "queued_calls = 0.5", "backends.pm.queued_calls: must be a whole number"),
        (_PM + "circuit_failures = -3", "backends.pm.circuit_failures: must be at least 0 and at most 100000"),
        (_PM + "circuit_failures = true", "backends.pm.circuit_failures: must be a number"),
        (_PM + "requests_per_second = -0.5", "backends.pm.requests_per_second: must be at least 0 and at most 1000000"),
        (_PM + "requests_per_second = 2e6", "backends.pm.requests_per_second: must be at least 0 and at most 1000000"),
        (
            CMDB + "retry_after_seconds = 0",
            "backends.cmdb.retry_after_seconds: must be greater than 0 and at most 86400",
        ),
        (CMDB + "mode = 'closed'", "backends.cmdb.mode: must be one of read_write, read_only"),
        (_PM + "mode = true", "backends.pm.mode: must be a string"),
        # missing
        (CMDB.replace('username = "gateway"', ""), "backends.cmdb.username: is missing"),
        (CMDB.replace('app_secret = "env:SECRET"', ""), "backends.cmdb.app_secret: is missing"),
        (CMDB.replace('type = "cmdb"', ""), "backends.cmdb.type: is missing"),
        (_PM.replace('region = "cn-north-4"', ""), "backends.pm.base_url: is missing"),
        (_PM.replace('secret_key = "env:SECRET"', ""), "backends.pm.secret_key: is missing"),
        # unknown keys, at every level
        ("sever = {}" + CMDB, "sever: is not a setting"),
        ("[server]\nport = 80" + CMDB, "server.port: is not a setting"),
        ("[auth]\ntoken = 'x'" + CMDB, "auth.token: is not a setting"),
        (CMDB + "setle_seconds = 1", "backends.cmdb.setle_seconds: is not a setting"),
        (CMDB + "region = 'cn-north-4'", "backends.cmdb.region: is not a setting"),
        (_PM + "user = 'robot'", "backends.pm.user: is not a setting"),
        # not one of the allowed words
        (CMDB.replace('type = "cmdb"', 'type = "jira"'), "backends.cmdb.type: must be one of cmdb, projectman"),
        (CMDB + "route = 'rest'", "backends.cmdb.route: must be one of esb, apigw"),
        (_PM + "credentials = 'none'", "backends.pm.credentials: must be one of aksk, token"),
        (_PM + "omitted_description = ''", "backends.pm.omitted_description: must be one of refused, kept"),
        (_PM.replace("cn-north-4", "cn-north-9"), "backends.pm.region: must be one of cn-north-4,"),
        ("[auth]\nmode = 'maybe'" + CMDB, "auth.mode: must be one of"),
        # empty strings and strings of the wrong form
        (CMDB.replace('app_code = "gateway"', 'app_code = ""'), "backends.cmdb.app_code: must be a non-empty string"),
        (
            CMDB + "name_max_characters = 257",
            "backends.cmdb.name_max_characters: must be greater than 0 and at most 256",
        ),
        (CMDB + "name_max_characters = 1.5", "backends.cmdb.name_max_characters: must be a whole number"),
        (CMDB + "tenant_id = 'a b'", "backends.cmdb.tenant_id: must be a tenant's id"),
        (_PM + "default_owner = 'me'", "backends.pm.default_owner: must be 32 of 0-9 a-z"),
        (_PM + "iam_project_id = 'cn-north-4'", "backends.pm.iam_project_id: must be 32 hexadecimal digits"),
        (_PM.replace('"AK"', '"A K"'), "backends.pm.access_key: must be visible ASCII"),
        # two that exclude each other
        (
            _PM + "base_url = 'https://h'",
            "backends.pm.region: must not be set together with base_url",
        ),
        # the environment and files
        (CMDB.replace("env:SECRET", "env:UNSET"), "backends.cmdb.app_secret: the environment has no UNSET"),
        (CMDB.replace("env:SECRET", "env:EMPTY"), "backends.cmdb.app_secret: the environment has no EMPTY"),
        (CMDB.replace("env:SECRET", "env:"), "backends.cmdb.app_secret: the environment has no "),
        (CMDB.replace("env:SECRET", "file:/nowhere"), "backends.cmdb.app_secret: the file /nowhere cannot be read"),
        (CMDB.replace("env:SECRET", "file:/"), "backends.cmdb.app_secret: the file / cannot be read"),
        (
            CMDB + "ca_file = '/nowhere'",
            "backends.cmdb.ca_file: must be the path of a readable file of PEM certificates",
        ),
        (CMDB + "ca_file = '/'", "backends.cmdb.ca_file: must be the path of a readable file of PEM certificates"),
        (
            CMDB + f"ca_file = '{__file__}'",
            "backends.cmdb.ca_file: must be the path of a readable file of PEM certificates",
        ),
        # reserved attributes
        *(
            (CMDB + f"attributes = ['team', '{name}']", "backends.cmdb.attributes[2]: must ")
            for name in (
                *("default", "bk_supplier_account", "set_template_id", "bk_created_by", "bk_updated_at", "bk_set_id"),
                *("bk_module_name", "operator", "create_time", "a b", "1a", ""),
            )
        ),
        # names
        *(
            (CMDB.replace("backends.cmdb", f'backends."{name}"'), f"backends.{name}: a connection's name is")
            for name in ("CMDB", "1st", "a.b", "a_b", "a" * 33, "é", "-a", "")
        ),
    ],
)
def test_an_error_is_one_line(errors: Errors, text: str, expected: str) -> None:
    """The line contains the path of the setting and what would be accepted."""
    (line,) = errors(text, SECRET="s", EMPTY="")
    assert line.startswith(expected)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "bkapi.example.com",
            "ftp://h",
            "https://",
            "https://user:pw@h",
            "https://h?a=b",
            "https://h/#a",
            "https://h/a b",
        ),
        *(
            "https://h:port",
            "https://h:99999",
            "https://h:",
            "https://é.example",
            "https://h\n",
            "https://:80",
            "https://[x]",
        ),
    ],
)
def test_an_invalid_url_is_refused(errors: Errors, address: str) -> None:
    """A URL has a scheme, a host, a port and a path; no credentials, no query, no fragment."""
    text = CMDB.replace('"https://bkapi.example.com"', f"'''{address}'''")
    assert errors(text, SECRET="s") == ["backends.cmdb.base_url: must be an address such as https://host/path"]


def test_all_errors_are_reported_at_once(errors: Errors) -> None:
    """The lines are in the order of the file; missing settings follow."""
    text = "[server]\ndeadline_seconds = 0\nspeed = 1\n[other]\n" + CMDB + "route = 'x'\n" + _TOKEN + "[backends.X]\n"
    assert errors(text) == [
        "server.deadline_seconds: must be greater than 0 and at most 86400",
        "server.speed: is not a setting",
        "other: is not a setting",
        "backends.cmdb.app_secret: the environment has no SECRET",
        "backends.cmdb.route: must be one of esb, apigw",
        "backends.pm.domain: is missing",
        "backends.pm.iam_url: is missing",
        "backends.pm.password: is missing",
        "backends.pm.project: is missing",
        "backends.pm.user: is missing",
        "backends.X: a connection's name is a lower-case letter, then at most 31 of a-z 0-9 -",
        "backends.X.type: is missing",
    ]


def test_a_secret_file_must_be_utf8(errors: Errors, tmp_path: Path) -> None:
    """A file that is not UTF-8 is reported like one that does not exist."""
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    (line,) = errors(CMDB.replace("env:SECRET", f"file:{tmp_path}/secret"))
    assert line.endswith("secret cannot be read")


@pytest.mark.parametrize("bind", ["0.0.0.0:8000", "[::]:8000", "10.0.0.1:80", "example.com:80", ":8000", "8000", ""])
def test_without_authentication_other_addresses_are_refused(errors: Errors, bind: str) -> None:
    """auth.mode none with an address that others can reach is an error."""
    (line,) = errors(CMDB, SECRET="s", GATEWAY_BIND=bind)
    assert line.startswith("auth.mode: is none, which is allowed on a loopback address only")
