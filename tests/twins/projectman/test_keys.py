"""Access keys: unknown ones, temporary ones, and when one is locked (sections 3b and 4c)."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient

MODULES = "/v4/projects/0792b7d26cb74bd799cbae80063dc74a/modules"

Sign = Callable[..., dict[str, str]]
Move = Callable[[float], None]


def test_an_unknown_key_has_no_secret(anonymous: FlaskClient, sign: Sign) -> None:
    """Section 4c: the wording differs from that of a wrong secret, the code does not."""
    headers = sign(MODULES)
    headers["Authorization"] = headers["Authorization"].replace("AKTEST", "AKOTHER")
    assert_refused(anonymous.get(MODULES, headers=headers), "Get secretKey failed")


def test_more_than_five_failures_in_a_row_lock_a_key(anonymous: FlaskClient, sign: Sign, move: Move) -> None:
    """Section 4c: the sixth locks for five minutes, during which the right secret is no help either."""
    for _ in range(6):
        assert_refused(anonymous.get(MODULES, headers=sign(MODULES, secret="wrong")), "verify aksk signature fail")
    assert_refused(anonymous.get(MODULES, headers=sign(MODULES)), "AK access failed to reach the limit,forbidden")
    move(299)
    assert_refused(anonymous.get(MODULES, headers=sign(MODULES)), "AK access failed to reach the limit,forbidden")
    move(1)
    assert anonymous.get(MODULES, headers=sign(MODULES)).status_code == 200


def test_a_success_ends_the_row(anonymous: FlaskClient, sign: Sign) -> None:
    """Section 4c: five failures, a success and five more do not lock."""
    for _ in range(2):
        for _ in range(5):
            anonymous.get(MODULES, headers=sign(MODULES, secret="wrong"))
        assert anonymous.get(MODULES, headers=sign(MODULES)).status_code == 200


@pytest.mark.parametrize(
    ("signed", "added", "status"),
    [
        ({"x_security_token": "sts"}, {}, 200),
        ({"x_security_token": "other"}, {}, 401),
        ({}, {"X-Security-Token": "sts"}, 401),
        ({}, {}, 401),
    ],
)
def test_a_temporary_key_needs_its_token(
    anonymous_with: Callable[[Mapping[str, object]], FlaskClient],
    sign: Sign,
    signed: dict[str, str],
    added: dict[str, str],
    status: int,
) -> None:
    """Section 3b: X-Security-Token is signed along with the rest."""
    client = anonymous_with({"access_keys": {"AKTEST": {"secret": "SKTEST", "security_token": "sts"}}})
    assert client.get(MODULES, headers=sign(MODULES, **signed) | added).status_code == status


def test_a_permanent_key_has_no_token(anonymous: FlaskClient, sign: Sign) -> None:
    """The other way round: a token that nobody issued does not go with a permanent key."""
    headers = sign(MODULES, x_security_token="sts")
    assert_refused(anonymous.get(MODULES, headers=headers), "verify aksk signature fail")


def test_a_bad_signature_is_not_saved_by_a_token(client: FlaskClient, sign: Sign) -> None:
    """Where both are sent, the signature is judged."""
    reply = client.get(MODULES, headers=sign(MODULES, secret="wrong"))
    assert_refused(reply, "verify aksk signature fail")


def assert_refused(reply: Any, message: str) -> None:
    assert reply.status_code == 401
    assert reply.get_json() == {
        "error_code": "APIGW.0301",
        "error_msg": message,
        "request_id": reply.headers["X-Request-Id"],
    }
