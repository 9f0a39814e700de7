"""For whom CMDB is asked: the connection's user, the caller's, or whoever a caller's own token says."""

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
from tests.unit.backends.connections import CMDB_MODULE, cmdb_options, found


def _asked(wire: responses.RequestsMock, clock: VirtualClock, call: CallContext, **options: Any) -> dict[str, str]:
    """Read a module for somebody; return the identity that the request carried."""
    url = "https://bkapi.example.com/api/c/compapi/v2/cc/search_module/"
    wire.post(url, body=found(CMDB_MODULE), content_type="application/json")
    create_backend("cmdb", cmdb_options("https://bkapi.example.com", **options), clock).get("1.10.37825", call)
    told: dict[str, str] = json.loads(wire.calls[0].request.headers["X-Bkapi-Authorization"])
    return told


def test_the_verified_user_acts(wire: responses.RequestsMock, clock: VirtualClock, call: CallContext) -> None:
    """documented: cmdb.md §1, bk_username in the header: the caller's user where he has one."""
    assert _asked(wire, clock, replace(call, user="alice")) == {
        "bk_app_code": "gateway",
        "bk_app_secret": "canary-app-secret",
        "bk_username": "alice",
    }


def test_a_callers_own_token(wire: responses.RequestsMock, clock: VirtualClock, call: CallContext) -> None:
    """documented: cmdb.md §1, bk_token in place of bk_username; the caller's user is not told besides."""
    told = _asked(wire, clock, replace(call, user="alice", credential="own"), passes_credentials=True)
    assert told == {"bk_app_code": "gateway", "bk_app_secret": "canary-app-secret", "bk_token": "own"}


def test_no_token_no_request(clock: VirtualClock, call: CallContext) -> None:
    """Without the caller's token nothing is sent: nobody acts in the gateway's own name instead."""
    backend = create_backend("cmdb", cmdb_options("https://bkapi.example.com", passes_credentials=True), clock)
    with pytest.raises(Unauthenticated):
        backend.get("1.10.37825", call)
    assert backend.capabilities.credential_header == "X-Bk-Token"
    assert backend.capabilities.acting_user is None


def test_the_scope_of_an_id(clock: VirtualClock) -> None:
    """The business is the first of an id's three numbers; no backend is asked."""
    assert create_backend("cmdb", cmdb_options("https://bkapi.example.com"), clock).scope_of("27.10.37825") == "27"
