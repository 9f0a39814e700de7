"""Tokens from IAM: cached, renewed early, fetched once for all who wait, asked for again exactly once."""

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
from tests.unit.backends.projectman.iam_stub import IAM, IamStub, says
from tests.unit.backends.projectman.service_stub import DRAFT


def test_a_token_is_asked_for_in_the_documented_words(
    iam: IamStub, by_token: ProjectManBackend, call: CallContext
) -> None:
    """documented: projectman.md §3a: password, scope project, no catalog; and the token goes out as X-Auth-Token."""
    by_token.create(DRAFT, call)
    (request,) = iam.iam
    assert (request.method, request.url) == ("POST", f"{IAM}/v3/auth/tokens?nocatalog=true")
    assert request.headers == {"Content-Type": "application/json;charset=utf8"}
    assert json.loads(request.body or b"") == {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"domain": {"name": "account"}, "name": "robot", "password": "canary-password"}},
            },
            "scope": {"project": {"name": "cn-north-4"}},
        }
    }
    assert (request.is_write, iam.tokens) == (False, ["token-1"])


@pytest.mark.parametrize(
    ("lifetime", "kept", "renewed"),
    [(86400.0, 86400.0 - 601.0, 86400.0 - 599.0), (600.0, 299.0, 301.0), (1000.0, 499.0, 501.0)],
)
def test_a_token_is_kept_until_shortly_before_its_end(
    iam: IamStub, by_token: ProjectManBackend, clock: VirtualClock, lifetime: float, kept: float, renewed: float
) -> None:
    """Ten minutes early, or at half of a short life."""
    iam.lifetime = lifetime
    start = clock.now()
    for after, issued in ((0.0, 1), (kept, 1), (renewed, 2)):
        clock.seconds = start + after
        by_token.find_by_natural_key(DRAFT, CallContext("r", clock.monotonic() + 10))
        assert iam.issued == issued


@pytest.mark.parametrize("body", [None, {}, {"token": {}}, {"token": {"expires_at": "soon"}}, {"token": None}, []])
def test_a_token_of_unknown_life_is_kept_a_quarter_of_an_hour(
    iam: IamStub, by_token: ProjectManBackend, clock: VirtualClock, body: Any
) -> None:
    """Where IAM does not say, nothing is assumed."""
    iam.answer = says(201, body, **{"X-Subject-Token": "token"})
    start = clock.now()
    for after, asked in ((0.0, 1), (899.0, 1), (901.0, 2)):
        clock.seconds = start + after
        by_token.find_by_natural_key(DRAFT, CallContext("r", clock.monotonic() + 10))
        assert len(iam.iam) == asked


@pytest.mark.parametrize("expired", [False, True])
def test_twenty_who_wait_share_one_token(
    iam: IamStub,
    by_token: ProjectManBackend,
    clock: VirtualClock,
    expired: bool,
) -> None:
    """One asks IAM, the others take what he got: for the first token as for the next."""
    everybody = threading.Barrier(20)
    issue = iam.answer

    def slowly() -> UpstreamResponse:
        time.sleep(0.1)  # long enough for the others to come and wait
        return issue()

    iam.answer = slowly
    if expired:
        by_token.find_by_natural_key(DRAFT, CallContext("r", clock.monotonic() + 10))

        def valid(token: str) -> bool:
            if token == "token-1":
                everybody.wait(timeout=10)
            return token != "token-1"

        iam.valid = valid

    def ask(_: int) -> None:
        if not expired:
            everybody.wait(timeout=10)
        by_token.find_by_natural_key(DRAFT, CallContext("r", clock.monotonic() + 10))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(ask, range(20)))
    assert len(iam.iam) == (2 if expired else 1)


def test_who_waits_for_a_token_does_not_wait_past_his_deadline(
    iam: IamStub, by_token: ProjectManBackend, clock: VirtualClock
) -> None:
    """While another asks IAM, a caller without time is told that nothing was sent."""
    asked, answered = threading.Event(), threading.Event()
    issue = iam.answer

    def slowly() -> UpstreamResponse:
        asked.set()
        answered.wait(timeout=10)
        return issue()

    iam.answer = slowly
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(by_token.find_by_natural_key, DRAFT, CallContext("first", clock.monotonic() + 10))
        asked.wait(timeout=10)
        with pytest.raises(BackendUnavailable, match="nothing was sent"):
            by_token.create(DRAFT, CallContext("late", clock.monotonic() - 1))
        answered.set()
        assert first.result() == ()
