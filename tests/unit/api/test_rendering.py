"""What is rendered by hand is what the schema says, which the OpenAPI document is made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Response
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, run_wsgi_app

from gateway.api.responses import json_response, render_module
from gateway.api.schemas.responses import ModuleSchema
from gateway.domain.module import Module, Owner

_TEXT = st.text(max_size=8)
_MAYBE = st.none() | _TEXT
_INSTANT = st.none() | st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - the zone is drawn beside it
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=8))]),
)
_MODULES = st.builds(
    Module,
    backend=_TEXT,
    ref=_TEXT,
    native_id=_TEXT,
    scope=_TEXT,
    parent=_MAYBE,
    name=_TEXT,
    description=_MAYBE,
    owners=st.lists(st.builds(Owner, id=_TEXT, name=_MAYBE, display_name=_MAYBE), max_size=3).map(tuple),
    attributes=st.dictionaries(_TEXT, _TEXT | st.integers() | st.booleans() | st.none(), max_size=3),
    depth=st.none() | st.integers(1, 3),
    has_children=st.none() | st.booleans(),
    built_in=st.booleans(),
    created_at=_INSTANT,
    updated_at=_INSTANT,
    unavailable=st.lists(_TEXT, max_size=3).map(tuple),
)


@given(_MODULES)
def test_by_hand_and_by_the_schema(module: Module) -> None:
    """Every field, in the same form and the same order."""
    by_schema: Any = ModuleSchema().dump(module)
    assert list(render_module(module).items()) == list(by_schema.items())


@pytest.mark.parametrize("status", [200, 201, 202, 404, 503])
@pytest.mark.parametrize("lines", [(), (("Location", "/modules/a.1"), ("Gateway-Outcome", "applied"))])
def test_a_response_like_any_other(status: int, lines: tuple[tuple[str, str], ...]) -> None:
    """It has every attribute that Flask's own has, with the same value, and answers the same bytes; HEAD none."""
    body = b'{"a":1}\n'
    usual = Response(body, status, lines, content_type="application/json")
    made = json_response({"a": 1}, status, *lines)
    assert vars(made).keys() - vars(usual).keys() == {"_length"}
    assert {name: vars(made)[name] for name in vars(usual)} | {"headers": 0} == {**vars(usual), "headers": 0}
    assert dict(made.headers) == dict(usual.headers)
    assert made.calculate_content_length() == usual.calculate_content_length()
    for method in ("GET", "HEAD"):
        answers = []
        for response in (made, usual):
            told, code, headers = run_wsgi_app(response, EnvironBuilder(method=method).get_environ())
            answers.append((b"".join(told), code, dict(headers)))
        assert answers[0] == answers[1]
