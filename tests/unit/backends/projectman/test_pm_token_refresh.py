"""After a rejected token a new one is fetched once; after a rejected password none is fetched for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

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
from tests.unit.backends.projectman.service_stub import DRAFT, EXPIRED, NOT_EXPIRED, IamStub, respond


@pytest.mark.parametrize("rejection", EXPIRED)
def test_an_expired_token_is_refreshed_once_and_the_write_sent_again(
    iam: IamStub, by_token: ProjectManBackend, call: CallContext, rejection: Any
) -> None:
    """The service did not receive the write: it is sent again with the new token."""
    iam.rejection = rejection
    iam.valid = lambda token: token == "token-2"
    by_token.create(DRAFT, call)
    assert iam.tokens == ["token-1", "token-2"]
    assert iam.requests == ["POST P/module"]
    assert iam.bodies == [{"module_name": "demo", "owner": {"user_id": OWNER}}]


@pytest.mark.parametrize("rejection", EXPIRED)
def test_a_new_token_that_is_rejected_too_is_an_error(
    iam: IamStub, by_token: ProjectManBackend, call: CallContext, rejection: Any
) -> None:
    """documented: projectman.md §6, 16: no loop: the configured credentials are wrong."""
    iam.rejection = rejection
    iam.valid = lambda _: False
    with pytest.raises(BackendRejectedCredentials):
        by_token.create(DRAFT, call)
    assert (iam.tokens, len(iam.iam_requests)) == (["token-1", "token-2"], 2)


@pytest.mark.parametrize("rejection", NOT_EXPIRED)
def test_other_rejections_fetch_no_new_token(
    iam: IamStub, by_token: ProjectManBackend, call: CallContext, rejection: Any
) -> None:
    """One token is fetched and one request is sent."""
    iam.rejection = rejection
    iam.valid = lambda _: False
    with pytest.raises(GatewayError):
        by_token.create(DRAFT, call)
    assert (iam.tokens, len(iam.iam_requests)) == (["token-1"], 1)


#: documented: projectman.md §4a, 3: Keystone's shape, the code an integer
def keystone(status: int) -> Callable[[], UpstreamResponse]:
    words = {"code": status, "message": "The username or password is wrong.", "title": "…"}
    return lambda: respond(status, {"error": words})


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_wrong_password_is_not_sent_again_for_a_while(
    iam: IamStub, by_token: ProjectManBackend, clock: VirtualClock, status: int
) -> None:
    """Repeated wrong passwords lock the user: the next attempt is made after five minutes."""
    iam.answer = keystone(status)
    start = clock.seconds
    for after, count in ((0.0, 1), (1.0, 1), (299.0, 1), (301.0, 2)):
        clock.seconds = start + after
        with pytest.raises(BackendRejectedCredentials):
            by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
        assert len(iam.iam_requests) == count
    assert iam.tokens == []


@pytest.mark.parametrize(
    ("respond", "error"),
    [
        (keystone(500), BackendUnavailable),
        (keystone(503), BackendUnavailable),
        (lambda: respond(429), RateLimited),
        (lambda: respond(201, {"token": {}}), BackendReplyInvalid),
        (mock.Mock(side_effect=BackendUnavailable()), BackendUnavailable),
        (mock.Mock(side_effect=BackendTimeout()), BackendTimeout),
    ],
)
def test_if_iam_is_down_nothing_is_applied(
    iam: IamStub,
    by_token: ProjectManBackend,
    call: CallContext,
    respond: Callable[[], UpstreamResponse],
    error: type[GatewayError],
) -> None:
    """Without a token nothing reaches the service; the next request tries IAM again."""
    iam.answer = respond
    for _ in range(2):
        with pytest.raises(error):
            by_token.create(DRAFT, call)
    assert (iam.tokens, len(iam.iam_requests)) == ([], 2)


def test_a_token_that_cannot_be_refreshed_is_used_until_it_expires(
    iam: IamStub, by_token: ProjectManBackend, clock: VirtualClock
) -> None:
    """A refresh that fails is retried every 30 seconds; meanwhile the present token is used."""
    start = clock.seconds
    by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
    iam.answer = mock.Mock(side_effect=BackendUnavailable())
    for after, count in ((85_799.0, 1), (85_801.0, 2), (85_810.0, 2), (85_832.0, 3), (86_399.0, 4)):
        clock.seconds = start + after
        by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
        assert len(iam.iam_requests) == count, after
    assert set(iam.tokens) == {"token-1"}
    clock.seconds = start + 86_401.0
    with pytest.raises(BackendUnavailable):
        by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
    iam.answer = None
    by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
    assert iam.tokens[-1] == "token-2"


def test_a_newer_token_is_not_overwritten(iam: IamStub, by_token: ProjectManBackend, clock: VirtualClock) -> None:
    """A request whose refresh fails uses a token that another request has fetched meanwhile."""
    start = clock.seconds
    by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
    clock.seconds = start + 85_900.0
    auth = by_token._client.auth
    assert isinstance(auth, IamTokenAuth)

    def replace_token_and_fail() -> UpstreamResponse:
        auth._token = _CachedToken("newer-token", start + 1e6, start + 1e6)
        raise BackendUnavailable

    iam.answer = replace_token_and_fail
    by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
    assert iam.tokens[-1] == "newer-token"
