"""The direct rendering of a module against its schema, the format of times, and JSON responses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask, Response
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.responses import empty_response, json_response, serialize_module
from gateway.api.schemas.fields import format_utc
from gateway.api.schemas.responses import ModuleSchema
from gateway.domain.capabilities import Capabilities, FieldSpec
from gateway.domain.module import Module, Owner

_TEXT = st.text(max_size=8)
_OPTIONAL_TEXT = st.none() | _TEXT
_OPTIONAL_TIME = st.none() | st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - the time zone is drawn separately
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001 - the time zone is drawn separately
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=8))]),
)
_MODULES = st.builds(
    Module,
    backend=_TEXT,
    ref=_TEXT,
    native_id=_TEXT,
    scope=_TEXT,
    parent=_OPTIONAL_TEXT,
    name=_TEXT,
    description=_OPTIONAL_TEXT,
    owners=st.lists(st.builds(Owner, id=_TEXT, name=_OPTIONAL_TEXT, display_name=_OPTIONAL_TEXT), max_size=3).map(
        tuple
    ),
    attributes=st.dictionaries(_TEXT, _TEXT | st.integers() | st.booleans() | st.none(), max_size=3),
    depth=st.none() | st.integers(1, 3),
    has_children=st.none() | st.booleans(),
    built_in=st.booleans(),
    created_at=_OPTIONAL_TIME,
    updated_at=_OPTIONAL_TIME,
    unavailable=st.lists(_TEXT, max_size=3).map(tuple),
)


CAPABILITIES = Capabilities(
    type="toy",
    title="Toy",
    scope=FieldSpec(name="scope"),
    parent=FieldSpec(name="parent"),
    name=FieldSpec(name="name"),
    description=None,
    owners=FieldSpec(name="owners"),
    attributes=(FieldSpec(name="a"),),
    settle_seconds=1.0,
    hard_timeout_seconds=1.0,
)


@given(_MODULES)
def test_serialize_module_equals_schema(module: Module) -> None:
    """serialize_module returns what the schema dumps: the same members and values in the same order."""
    dumped: Any = {**ModuleSchema().dump(module), "etag": CAPABILITIES.etag(module)}
    assert list(serialize_module(module, CAPABILITIES).items()) == list(dumped.items())
    assert list(dumped) == list(ModuleSchema().fields)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (None, None),
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_800_000_000.25, "2027-01-15T08:00:00.250Z"),
        (datetime(2022, 2, 22, 12, 25, 19, 49_999, UTC), "2022-02-22T12:25:19.049Z"),
        (datetime(2022, 2, 22, 20, 25, 19, tzinfo=timezone(timedelta(hours=8))), "2022-02-22T12:25:19.000Z"),
    ],
)
def test_format_utc(time: datetime | float | None, text: str | None) -> None:
    """Times of any zone, and seconds since the epoch, are RFC 3339 in UTC with milliseconds."""
    assert format_utc(time) == text


@pytest.mark.parametrize("status", [200, 201, 202, 404, 503])
@pytest.mark.parametrize("headers", [None, {}, {"Location": "/modules/a.1", "Preference-Applied": "respond-async"}])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_json_response(status: int, headers: Mapping[str, str] | None, method: str) -> None:
    """It has the status, the headers, and UTF-8 JSON of the stated length as its body; HEAD has the headers alone."""
    app = Flask("test")
    app.add_url_rule("/", view_func=lambda: json_response({"é": [1, None]}, status, headers))
    response = app.test_client().open(method=method)
    text = '{"é":[1,null]}\n'
    assert (response.status_code, response.text) == (status, text if method == "GET" else "")
    assert dict(response.headers) == {
        "Content-Type": "application/json",
        "Content-Length": str(len(text.encode())),
        **(headers or {}),
    }


def test_header_injection() -> None:
    """A header value with a line feed is refused by Werkzeug."""
    with pytest.raises(ValueError, match="newline"):
        json_response({}, 200, {"Location": "/\r\nX-Injected: 1"})


def test_empty_response() -> None:
    """A 204 has neither a body nor a Content-Type."""
    response: Response = empty_response()
    assert (response.status_code, response.data, "Content-Type" in response.headers) == (204, b"", False)
