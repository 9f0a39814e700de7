"""Malformed ids and paths are 404, and the real adapters open no socket for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.domain.backend import Backend
from tests.conftest import VirtualClock
from tests.unit.api.problems import assert_problem
from tests.unit.backends.connections import PROJECT, create_backends


@pytest.fixture
def client_of_adapters(build: Callable[[Mapping[str, Backend]], Flask], clock: VirtualClock) -> FlaskClient:
    """The service over the real adapters; sockets are disabled, so that a request to a backend is a 5xx."""
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
def test_malformed_id(client_of_adapters: FlaskClient, method: str, module_id: str) -> None:
    """A malformed id is 404 module_not_found, and no socket is opened."""
    arguments: dict[str, Any] = {"json": {"name": "demo", "description": None}} if method == "PATCH" else {}
    assert_problem(
        client_of_adapters.open(f"/modules/{module_id}", method=method, **arguments), 404, "module_not_found"
    )


@pytest.mark.parametrize("path", ["/modules/../backends", "/modules/cmdb.1.10.1/", "/modules/a%2fb", "/modules//"])
def test_unknown_path(client: FlaskClient, path: str) -> None:
    """A path with an additional slash is 404 not_found and not redirected."""
    assert_problem(client.get(path), 404, "not_found")


def test_well_formed_id(client_of_adapters: FlaskClient) -> None:
    """A well-formed id reaches the network, which is disabled here."""
    for module_id in ("cmdb.1.10.1", f"projectman.{PROJECT}.1"):
        assert client_of_adapters.get(f"/modules/{module_id}").status_code in {500, 503}
