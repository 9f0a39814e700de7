"""Ids and addresses that are not sound: no module's, and the real adapters open no socket for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.domain.backend import Backend
from tests.conftest import VirtualClock
from tests.unit.api.connections import PROJECT, create_backends
from tests.unit.api.problems import assert_problem


@pytest.fixture
def adapters(build: Callable[[Mapping[str, Backend]], Flask], clock: VirtualClock) -> FlaskClient:
    """The service over the real adapters, with every socket closed: what would be sent ends in a 5xx."""
    return build(create_backends(clock)).test_client()


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "module_id",
    [
        *("cmdb", "cmdb.", ".1.10.1", "..", "%2e%2e", "nope.1.10.1", "CMDB.1.10.1", "cmdb%00.1.10.1"),
        *("cmdb.1.10", "cmdb.1.10.1.1", "cmdb.1.10.", "cmdb..10.1", "cmdb.01.10.1", "cmdb.0.10.1", "cmdb.1.10.-1"),
        *("cmdb.1.10.%D9%A1", "cmdb.1.10.%EF%BC%91", "cmdb.1.10.1%00", "cmdb.1.10.1%0a", "cmdb.1.10.1%0d%0aX:y"),
        *("cmdb.1.10.1%20", "cmdb.1.10.1e3", "cmdb.1.10.9223372036854775808", "cmdb.1.10.1;x", "cmdb.1.10.1%3fa=b"),
        *("cmdb.1.10.%2e%2e", "cmdb.1.10.1%ff", "cmdb.1.10.1%23", f"cmdb.{PROJECT}.1", "cmdb." + "1" * 10_000),
        *("projectman.1.10.1", f"projectman.{PROJECT}", f"projectman.{PROJECT}.01", f"projectman.{PROJECT}.1%0a"),
        *(f"projectman.{PROJECT[:-1]}%EF%BC%91.1", f"projectman.{PROJECT}.%D9%A1", f"projectman.{PROJECT[:-2]}...1"),
        *(f"projectman.{PROJECT}.9223372036854775808", "projectman." + "a" * 10_000),
    ],
)
def test_malformed_id(adapters: FlaskClient, method: str, module_id: str) -> None:
    """An id is parsed strictly before a URL sees it: a malformed one is no module's, 404, and no socket is opened."""
    sent: dict[str, Any] = {"json": {"name": "demo", "description": None}} if method == "PATCH" else {}
    assert_problem(adapters.open(f"/modules/{module_id}", method=method, **sent), 404, "module_not_found")


@pytest.mark.parametrize(
    "path", ["/modules/../backends", "/modules/cmdb.1.10.1/", "/modules/a%2fb", "/modules//", "//modules"]
)
def test_no_such_address(client: FlaskClient, path: str) -> None:
    """A path with a slash more is another address, and no redirect: 404 in the envelope."""
    assert_problem(client.get(path), 404, "not_found")


def test_sound_ids_are_asked_for(adapters: FlaskClient) -> None:
    """The ids above fail for their form: a well-formed one goes on to the network, which is closed here."""
    for module_id in ("cmdb.1.10.1", f"projectman.{PROJECT}.1"):
        assert adapters.get(f"/modules/{module_id}").status_code in {500, 503}
