"""Tokens from IAM are cached, refreshed early, and fetched once for all waiting requests."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.backends.projectman.adapter import ProjectManBackend
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendUnavailable
from gateway.transport import UpstreamResponse
from tests.conftest import VirtualClock
from tests.unit.backends.projectman.service_stub import DRAFT, IAM, IamStub, respond


def test_a_token_request_is_as_documented(iam: IamStub, by_token: ProjectManBackend, call: CallContext) -> None:
    """documented: projectman.md §3a: password, scope project, no catalog; the token is sent as X-Auth-Token."""
    by_token.create(DRAFT, call)
    (request,) = iam.iam_requests
    assert (request.method, request.url) == ("POST", f"{IAM}/v3/auth/tokens?nocatalog=true")
    assert request.headers == {"Content-Type": "application/json;charset=utf8"}
    assert json.loads(request.body or b"") == {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {
                    "user": {
                        "domain": {"name": "demo-account"},
                        "name": "demo_user_name_06",
                        "password": "demo-password",
                    }
                },
            },
            "scope": {"project": {"name": "cn-north-4"}},
        }
    }
    assert (request.is_write, iam.tokens) == (False, ["token-1"])


@pytest.mark.parametrize(
    ("lifetime", "used_for", "refreshed_after"),
    [(86400.0, 86400.0 - 601.0, 86400.0 - 599.0), (600.0, 299.0, 301.0), (1000.0, 499.0, 501.0)],
)
def test_a_token_is_used_until_shortly_before_it_expires(
    iam: IamStub,
    by_token: ProjectManBackend,
    clock: VirtualClock,
    lifetime: float,
    used_for: float,
    refreshed_after: float,
) -> None:
    """Ten minutes early, or after half of a short lifetime."""
    iam.lifetime = lifetime
    start = clock.now()
    for after, issued in ((0.0, 1), (used_for, 1), (refreshed_after, 2)):
        clock.seconds = start + after
        by_token.find_by_natural_key(DRAFT, CallContext("r", clock.monotonic() + 10))
        assert iam.issued == issued


@pytest.mark.parametrize("body", [None, {}, {"token": {}}, {"token": {"expires_at": "soon"}}, {"token": None}, []])
def test_a_token_of_unknown_lifetime_is_used_for_15_minutes(
    iam: IamStub, by_token: ProjectManBackend, clock: VirtualClock, body: Any
) -> None:
    """The default lifetime applies."""
    iam.answer = lambda: respond(201, body, {"X-Subject-Token": "token"})
    start = clock.now()
    for after, count in ((0.0, 1), (899.0, 1), (901.0, 2)):
        clock.seconds = start + after
        by_token.find_by_natural_key(DRAFT, CallContext("r", clock.monotonic() + 10))
        assert len(iam.iam_requests) == count


@pytest.mark.parametrize("expired", [False, True])
def test_twenty_waiting_requests_share_one_token(
    iam: IamStub,
    by_token: ProjectManBackend,
    clock: VirtualClock,
    expired: bool,
) -> None:
    """One request fetches it and the others use it: the first token and the next one."""
    barrier = threading.Barrier(20)

    def respond_slowly() -> UpstreamResponse:
        time.sleep(0.1)  # long enough for the others to come and wait
        return iam.issue()

    iam.answer = respond_slowly
    if expired:
        by_token.find_by_natural_key(DRAFT, CallContext("r", clock.monotonic() + 10))

        def valid(token: str) -> bool:
            if token == "token-1":
                barrier.wait(timeout=10)
            return token != "token-1"

        iam.valid = valid

    def send(_: int) -> None:
        if not expired:
            barrier.wait(timeout=10)
        by_token.find_by_natural_key(DRAFT, CallContext("r", clock.monotonic() + 10))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(send, range(20)))
    assert len(iam.iam_requests) == (2 if expired else 1)


def test_waiting_for_a_token_ends_at_the_deadline(
    iam: IamStub, by_token: ProjectManBackend, clock: VirtualClock
) -> None:
    """If another request is fetching the token at the deadline, the error says that nothing was sent."""
    requested, proceed = threading.Event(), threading.Event()

    def respond_slowly() -> UpstreamResponse:
        requested.set()
        proceed.wait(timeout=10)
        return iam.issue()

    iam.answer = respond_slowly
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(by_token.find_by_natural_key, DRAFT, CallContext("first", clock.monotonic() + 10))
        requested.wait(timeout=10)
        with pytest.raises(BackendUnavailable, match="nothing was sent"):
            by_token.create(DRAFT, CallContext("late", clock.monotonic() - 1))
        proceed.set()
        assert first.result() == ()
