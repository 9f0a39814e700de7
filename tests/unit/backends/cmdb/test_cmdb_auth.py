"""The user that a request acts for: the connection's, the caller's, or the owner of the caller's token."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import responses

from gateway.backends.cmdb import create_backend
from gateway.domain.backend import CallContext
from gateway.domain.errors import Unauthenticated
from tests.conftest import VirtualClock
from tests.unit.backends.connections import CMDB_MODULE, cmdb_options, search_response


def _identity(wire: responses.RequestsMock, clock: VirtualClock, call: CallContext, **options: Any) -> dict[str, str]:
    """Read a module; return the identity that the request carried."""
    url = "https://bkapi.example.com/api/c/compapi/v2/cc/search_module/"
    wire.post(url, body=search_response(CMDB_MODULE), content_type="application/json")
    create_backend("cmdb", cmdb_options("https://bkapi.example.com", **options), clock).get("1.10.37825", call)
    identity: dict[str, str] = json.loads(wire.calls[0].request.headers["X-Bkapi-Authorization"])
    return identity


def test_the_verified_user_acts(wire: responses.RequestsMock, clock: VirtualClock, call: CallContext) -> None:
    """documented: cmdb.md §1, bk_username in the header: the caller's user, if it has one."""
    assert _identity(wire, clock, replace(call, user="alice")) == {
        "bk_app_code": "gateway",
        "bk_app_secret": "canary-app-secret",
        "bk_username": "alice",
    }


def test_the_callers_token_acts(wire: responses.RequestsMock, clock: VirtualClock, call: CallContext) -> None:
    """documented: cmdb.md §1, bk_token in place of bk_username; the caller's user is not sent as well."""
    identity = _identity(wire, clock, replace(call, user="alice", credential="own"), passthrough=True)
    assert identity == {"bk_app_code": "gateway", "bk_app_secret": "canary-app-secret", "bk_token": "own"}


def test_without_a_token_nothing_is_sent(clock: VirtualClock, call: CallContext) -> None:
    """Without the caller's token nothing is sent; the connection's own user is not used instead."""
    backend = create_backend("cmdb", cmdb_options("https://bkapi.example.com", passthrough=True), clock)
    with pytest.raises(Unauthenticated):
        backend.get("1.10.37825", call)
    assert backend.capabilities.credential_header == "X-Bk-Token"
    assert backend.capabilities.acting_user is None


def test_the_scope_of_an_id(clock: VirtualClock) -> None:
    """The business is the first of an id's three numbers; no request is sent."""
    assert create_backend("cmdb", cmdb_options("https://bkapi.example.com"), clock).scope_of("27.10.37825") == "27"
