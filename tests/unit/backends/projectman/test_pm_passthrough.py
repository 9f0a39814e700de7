"""A connection that acts with its callers' own tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest
import responses

from gateway.backends.projectman import create_backend
from gateway.backends.projectman.options import Passthrough
from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import BackendRejectedCredentials, Unauthenticated
from tests.conftest import VirtualClock
from tests.unit.backends.connections import PM_NODE, PROJECT, list_response, projectman_options

LIST = f"https://projectman.example.com/v4/projects/{PROJECT}/modules?limit=100&offset=0"


@pytest.fixture
def passing(clock: VirtualClock) -> Backend:
    return create_backend("pm", projectman_options("https://projectman.example.com", auth=Passthrough()), clock)


def test_the_callers_token_is_sent(wire: responses.RequestsMock, passing: Backend, call: CallContext) -> None:
    """documented: projectman.md §1, headers: X-Auth-Token in place of a signature, and no other credential."""
    wire.get(LIST, body=list_response(PM_NODE), content_type="application/json")
    passing.get(f"{PROJECT}.46691", replace(call, credential="own"))
    headers = wire.calls[0].request.headers
    assert headers["X-Auth-Token"] == "own"
    assert "Authorization" not in headers


def test_an_expired_token_is_not_refreshed(wire: responses.RequestsMock, passing: Backend, call: CallContext) -> None:
    """documented: projectman.md, APIGW.0307: only the caller can obtain another token; one request is sent."""
    wire.get(LIST, status=401, json={"error_code": "APIGW.0307", "error_msg": "The token must be updated."})
    with pytest.raises(BackendRejectedCredentials):
        passing.get(f"{PROJECT}.46691", replace(call, credential="own"))
    assert len(wire.calls) == 1


def test_without_a_token_nothing_is_sent(passing: Backend, call: CallContext) -> None:
    """Without the caller's token nothing is sent."""
    with pytest.raises(Unauthenticated):
        passing.get(f"{PROJECT}.46691", call)
    assert passing.capabilities.credential_header == "X-Auth-Token"


def test_the_scope_of_an_id(passing: Backend) -> None:
    """The project is the first part of an id; no request is sent."""
    assert passing.scope_of(f"{PROJECT}.7") == PROJECT
