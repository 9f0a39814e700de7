"""Any document either loads or is refused with one line per error."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.app import load_settings
from gateway.backends import discover
from gateway.journals import check_url
from gateway.settings import ConfigurationError, parse_settings

_SCHEMAS: Final = {name: plugin.OptionsSchema for name, plugin in discover().items()}
_VALID: Final[dict[str, Any]] = {
    "server": {"deadline_seconds": 5},
    "journal": {"url": "sqlite:///journal.db"},
    "auth": {
        "mode": "required",
        "jwt": {"issuer": "i", "audience": "a", "jwks_url": "https://h/keys", "algorithms": ["RS256"]},
        "mesh": {"trusted_hops": ["unix"]},
    },
    "callers": [{"name": "portal", "jwt_claims": {"azp": "portal"}, "allow": ["*:cmdb:*"]}],
    "cors": {"origins": ["https://a.example"]},
    "limits": {"storage": "memory://"},
    "backends": {
        "cmdb": {"type": "cmdb", "base_url": "https://h", "app_code": "a", "app_secret": "s", "username": "u"},
        "pm": {"type": "projectman", "region": "cn-north-4", "access_key": "AK", "secret_key": "s"},
    },
}
#: The tables that have a fixed set of keys, each with the path that its lines begin with.
_TABLES: Final = {
    (): "",
    ("server",): "server.",
    ("journal",): "journal.",
    ("auth",): "auth.",
    ("auth", "jwt"): "auth.jwt.",
    ("auth", "mesh"): "auth.mesh.",
    ("callers", 0): "callers[1].",
    ("cors",): "cors.",
    ("limits",): "limits.",
    ("backends", "cmdb"): "backends.cmdb.",
    ("backends", "pm"): "backends.pm.",
}
_SCALARS: Final = (
    st.booleans()
    | st.integers()
    | st.sampled_from([10**400, float("nan"), float("inf"), 1e-300])
    | st.floats()
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.text(max_size=20)
    | st.builds(str.__add__, st.sampled_from(["env:", "file:", "https://", "sqlite:///", "postgresql://"]), st.text())
)
_KEYS: Final = st.text(max_size=8) | st.sampled_from(["_schema", "type", "name", "allow", "a.b", "a\nb", "region"])
_VALUES: Final = st.recursive(
    _SCALARS, lambda items: st.lists(items, max_size=3) | st.dictionaries(_KEYS, items, max_size=3), max_leaves=8
)
_PATHS: Final = [
    *((*table, key) for table in _TABLES for key in ("_schema", "new")),
    *((key,) for key in _VALID),
    *(("backends", name, key) for name, table in _VALID["backends"].items() for key in table),
    *(("callers", 0, key) for key in ("name", "api_key_sha256", "jwt_claims", "spiffe", "acts_as", "allow")),
    *(("backends", name, key) for name in _VALID["backends"] for key in ("ca_file", "queued_calls", "credentials")),
    *(("auth", "jwt", key) for key in _VALID["auth"]["jwt"]),
    ("auth", "mesh", "trusted_hops"),
    ("cors", "origins"),
    ("journal", "url"),
]


def _put(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(_VALID)
    table: Any = document
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value
    return document


def _check(document: dict[str, Any]) -> None:
    """Load the document; any exception but ConfigurationError fails the test."""
    errors: tuple[str, ...] | None = None
    try:
        parse_settings(document, {}, _SCHEMAS, check_url)
    except ConfigurationError as error:
        errors = error.errors
    assert errors is None or (errors and all(": " in line and len(line.splitlines()) == 1 for line in errors))


def test_the_base_document_is_valid() -> None:
    assert len(parse_settings(_VALID, {}, _SCHEMAS, check_url).backends) == 2


@given(st.dictionaries(_KEYS | st.sampled_from(sorted(_VALID)), _VALUES, max_size=5))
def test_any_document(document: dict[str, Any]) -> None:
    """A document of any shape never causes another exception than ConfigurationError."""
    _check(document)


@given(st.sampled_from(_PATHS), _VALUES)
@settings(max_examples=400)
def test_any_value_of_any_setting(path: tuple[Any, ...], value: Any) -> None:
    """The same, for one value of any kind in a valid document."""
    _check(_put(path, value))


@given(st.sampled_from(sorted(_TABLES, key=str)), _KEYS.filter(lambda key: key.isprintable()))
def test_an_unknown_key_is_refused_by_its_path(table: tuple[Any, ...], key: str) -> None:
    """The line is the path of the key, whatever the key is, and the only one."""
    name = f"x{key}" if key != "_schema" else key
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(_put((*table, name), 1), {}, _SCHEMAS, check_url)
    assert caught.value.errors == (f"{_TABLES[table]}{name}: is not a setting",)


@given(text=st.text(max_size=60) | st.sampled_from(["a = " + "[" * 5000, "[a]\n" * 2, "a = 0x" + "f" * 5000]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file(tmp_path: Path, text: str) -> None:
    """A file with any content is valid or refused, and parsing it never fails in another way."""
    path = tmp_path / "gateway.toml"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(ConfigurationError) as caught:
        load_settings({}, str(path))
    assert str(caught.value).splitlines() == list(caught.value.errors)


@pytest.mark.parametrize("exponent", [400, 5000])
def test_a_number_without_a_decimal_form(exponent: int) -> None:
    """An integer that is too large for a float, or for Python to print, is out of range."""
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(_put(("backends", "cmdb", "queued_calls"), 16**exponent), {}, _SCHEMAS)
    assert caught.value.errors == ("backends.cmdb.queued_calls: must be at least 0 and at most 100000",)


def test_a_wrong_type_of_a_backend_is_one_error() -> None:
    """The allow-list of a caller may name a connection whose table has errors."""
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(_put(("backends", "cmdb", "type"), "jira"), {}, _SCHEMAS)
    assert caught.value.errors == ("backends.cmdb.type: must be one of cmdb, projectman",)


@pytest.mark.parametrize("port", ["65500", "65535"])
def test_the_highest_ports_are_ports(port: str) -> None:
    """TCP's ports end at 65535."""
    options = parse_settings(_put(("backends", "cmdb", "base_url"), f"https://h:{port}"), {}, _SCHEMAS).backends[0]
    assert options.options.base_url == f"https://h:{port}"
    with pytest.raises(ConfigurationError, match="must be an address"):
        parse_settings(_put(("backends", "cmdb", "base_url"), "https://h:65536"), {}, _SCHEMAS)


def test_lists_have_references_too(tmp_path: Path) -> None:
    """Any string can be a reference, and line feeds at the end of either kind are removed."""
    (tmp_path / "hop").write_text("10.0.0.0/8\n")
    document = _put(("auth", "mesh", "trusted_hops"), ["env:HOP", f"file:{tmp_path}/hop"])
    assert parse_settings(document, {"HOP": "::1\n"}, _SCHEMAS).auth.trusted_proxies == ("::1", "10.0.0.0/8")


@pytest.mark.parametrize(
    ("reference", "line"),
    [("env:X\nY", "the environment has no X\\nY"), ("file:\0", "the file \\x00 cannot be read")],
)
def test_a_reference_with_control_characters(reference: str, line: str) -> None:
    """Characters that cannot be printed are escaped, so each error stays one line."""
    assert tomllib.loads('a = "\\u0000"') == {"a": "\0"}
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(_put(("backends", "cmdb", "app_secret"), reference), {}, _SCHEMAS)
    assert caught.value.errors == (f"backends.cmdb.app_secret: {line}",)


def test_an_empty_file_is_no_value(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigurationError, match="empty is empty"):
        parse_settings(_put(("backends", "cmdb", "app_secret"), f"file:{tmp_path}/empty"), {}, _SCHEMAS)
