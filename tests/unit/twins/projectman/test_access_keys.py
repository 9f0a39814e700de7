"""Access keys: unknown, locked and temporary ones (sections 3b and 4c)."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from tests.unit.twins.projectman.api import MODULES, ClientWith, assert_unauthenticated

Sign = Callable[..., dict[str, str]]
Advance = Callable[[float], None]


def test_an_unknown_key(anonymous: FlaskClient, sign: Sign) -> None:
    """Section 4c: the text is not that of a wrong secret, the code is."""
    headers = sign(MODULES)
    headers["Authorization"] = headers["Authorization"].replace("AKTEST", "AKOTHER")
    assert_unauthenticated(anonymous.get(MODULES, headers=headers), "Get secretKey failed")


def test_the_sixth_consecutive_failure_locks_a_key(anonymous: FlaskClient, sign: Sign, advance: Advance) -> None:
    """Section 4c: for five minutes, in which a valid signature is rejected too."""
    for _ in range(6):
        assert_unauthenticated(
            anonymous.get(MODULES, headers=sign(MODULES, secret="wrong")), "verify aksk signature fail"
        )
    assert_unauthenticated(
        anonymous.get(MODULES, headers=sign(MODULES)), "AK access failed to reach the limit,forbidden"
    )
    advance(299)
    assert_unauthenticated(
        anonymous.get(MODULES, headers=sign(MODULES)), "AK access failed to reach the limit,forbidden"
    )
    advance(1)
    assert anonymous.get(MODULES, headers=sign(MODULES)).status_code == 200


def test_a_success_resets_the_failures(anonymous: FlaskClient, sign: Sign) -> None:
    """Section 4c: five failures, a success and five more do not lock."""
    for _ in range(2):
        for _ in range(5):
            anonymous.get(MODULES, headers=sign(MODULES, secret="wrong"))
        assert anonymous.get(MODULES, headers=sign(MODULES)).status_code == 200


@pytest.mark.parametrize(
    ("signed", "unsigned", "status"),
    [
        ({"x_security_token": "sts"}, {}, 200),
        ({"x_security_token": "other"}, {}, 401),
        ({}, {"X-Security-Token": "sts"}, 401),
        ({}, {}, 401),
    ],
)
def test_a_temporary_key_requires_its_token(
    anonymous_with: ClientWith,
    sign: Sign,
    signed: dict[str, str],
    unsigned: dict[str, str],
    status: int,
) -> None:
    """Section 3b: X-Security-Token must be signed."""
    client = anonymous_with({"access_keys": {"AKTEST": {"secret": "SKTEST", "security_token": "sts"}}})
    assert client.get(MODULES, headers=sign(MODULES, **signed) | unsigned).status_code == status


def test_a_permanent_key_has_no_token(anonymous: FlaskClient, sign: Sign) -> None:
    """A request with a permanent key must not have X-Security-Token."""
    headers = sign(MODULES, x_security_token="sts")
    assert_unauthenticated(anonymous.get(MODULES, headers=headers), "verify aksk signature fail")


def test_an_invalid_signature_beside_a_valid_token(client: FlaskClient, sign: Sign) -> None:
    """The signature is checked, the token is not."""
    response = client.get(MODULES, headers=sign(MODULES, secret="wrong"))
    assert_unauthenticated(response, "verify aksk signature fail")


def test_keys_that_are_replaced(anonymous: FlaskClient, sign: Sign) -> None:
    """A user has two keys while they are rotated; a key that is not in the list any more is unknown."""
    for keys, status in (({"AKTEST": "SKTEST", "AKNEW": "SKNEW"}, 200), ({"AKNEW": "SKNEW"}, 401)):
        assert anonymous.put("/twin/access_keys", json=keys).status_code == 204
        assert anonymous.get(MODULES, headers=sign(MODULES)).status_code == status
