"""Tokens that are refused, and IAM that refuses: asked for again exactly once, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.backends.projectman.adapter import ProjectManBackend
from gateway.backends.projectman.auth import IamTokenAuth, _CachedToken
from gateway.domain.backend import CallContext
from gateway.domain.errors import (
    BackendRejectedCredentials,
    BackendReplyInvalid,
    BackendTimeout,
    BackendUnavailable,
    GatewayError,
    RateLimited,
)
from gateway.transport import UpstreamResponse
from tests.conftest import VirtualClock
from tests.unit.backends.connections import OWNER
from tests.unit.backends.projectman.iam_stub import EXPIRED, NOT_EXPIRED, IamStub, fails, says
from tests.unit.backends.projectman.service_stub import DRAFT


@pytest.mark.parametrize("rejection", EXPIRED)
def test_an_expired_token_is_renewed_once_and_the_write_repeated(
    iam: IamStub, by_token: ProjectManBackend, call: CallContext, rejection: Any
) -> None:
    """The gateway in front refused it unseen: the same write goes out again, with the new token."""
    iam.rejection = rejection
    iam.valid = lambda token: token == "token-2"
    by_token.create(DRAFT, call)
    assert iam.tokens == ["token-1", "token-2"]
    assert iam.asked == ["POST P/module"]
    assert iam.bodies == [{"module_name": "demo", "owner": {"user_id": OWNER}}]


@pytest.mark.parametrize("rejection", EXPIRED)
def test_a_new_token_that_is_refused_too_ends_it(
    iam: IamStub, by_token: ProjectManBackend, call: CallContext, rejection: Any
) -> None:
    """documented: projectman.md §6, 16: no loop: the operator's credentials are at fault."""
    iam.rejection = rejection
    iam.valid = lambda _: False
    with pytest.raises(BackendRejectedCredentials):
        by_token.create(DRAFT, call)
    assert (iam.tokens, len(iam.iam)) == (["token-1", "token-2"], 2)


@pytest.mark.parametrize("rejection", NOT_EXPIRED)
def test_what_a_new_token_does_not_help_is_not_repeated(
    iam: IamStub, by_token: ProjectManBackend, call: CallContext, rejection: Any
) -> None:
    """One token, one attempt."""
    iam.rejection = rejection
    iam.valid = lambda _: False
    with pytest.raises(GatewayError):
        by_token.create(DRAFT, call)
    assert (iam.tokens, len(iam.iam)) == (["token-1"], 1)


#: documented: projectman.md §4a, 3: Keystone's shape, the code an integer
def keystone(status: int) -> Callable[[], UpstreamResponse]:
    return says(status, {"error": {"code": status, "message": "The username or password is wrong.", "title": "…"}})


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_wrong_password_is_tried_once_and_not_again_for_a_while(
    iam: IamStub, by_token: ProjectManBackend, clock: VirtualClock, status: int
) -> None:
    """Wrong passwords lock the user: for five minutes nobody asks, then one does."""
    iam.answer = keystone(status)
    start = clock.seconds
    for after, asked in ((0.0, 1), (1.0, 1), (299.0, 1), (301.0, 2)):
        clock.seconds = start + after
        with pytest.raises(BackendRejectedCredentials):
            by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
        assert len(iam.iam) == asked
    assert iam.tokens == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (keystone(500), BackendUnavailable),
        (keystone(503), BackendUnavailable),
        (says(429), RateLimited),
        (says(201, {"token": {}}), BackendReplyInvalid),
        (fails(BackendUnavailable()), BackendUnavailable),
        (fails(BackendTimeout()), BackendTimeout),
    ],
)
def test_where_iam_is_down_nothing_was_applied(
    iam: IamStub,
    by_token: ProjectManBackend,
    call: CallContext,
    answer: Callable[[], UpstreamResponse],
    error: type[GatewayError],
) -> None:
    """Without a token nothing reaches the service; the next request asks IAM again."""
    iam.answer = answer
    for _ in range(2):
        with pytest.raises(error):
            by_token.create(DRAFT, call)
    assert (iam.tokens, len(iam.iam)) == ([], 2)


def test_a_token_that_cannot_be_exchanged_in_time_is_used_to_its_end(
    iam: IamStub, by_token: ProjectManBackend, clock: VirtualClock
) -> None:
    """Ten minutes before the end a new one is wanted: while IAM is down, the old one serves, and IAM is let alone."""
    start = clock.seconds
    answer = iam.answer
    by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
    iam.answer = fails(BackendUnavailable())
    for after, asked in ((85_799.0, 1), (85_801.0, 2), (85_810.0, 2), (85_832.0, 3), (86_399.0, 4)):
        clock.seconds = start + after
        by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
        assert len(iam.iam) == asked, after
    assert set(iam.tokens) == {"token-1"}
    clock.seconds = start + 86_401.0
    with pytest.raises(BackendUnavailable):
        by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
    iam.answer = answer
    by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
    assert iam.tokens[-1] == "token-2"


def test_a_new_token_is_not_put_back(iam: IamStub, by_token: ProjectManBackend, clock: VirtualClock) -> None:
    """Whoever failed to fetch while another one did uses what that one has brought."""
    start = clock.seconds
    by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
    clock.seconds = start + 85_900.0
    auth = by_token._client.auth
    assert isinstance(auth, IamTokenAuth)

    def another_is_faster() -> UpstreamResponse:
        auth._token = _CachedToken("token-of-another", start + 1e6, start + 1e6)
        raise BackendUnavailable

    iam.answer = another_is_faster
    by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
    assert iam.tokens[-1] == "token-of-another"
