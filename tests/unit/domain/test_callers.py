"""Allow-lists: what a rule allows, and which actions `*` stands for."""

from __future__ import annotations

import pytest

from gateway.domain.callers import ACTIONS, ANONYMOUS, AllowRule, is_local_address


@pytest.mark.parametrize(
    ("actions", "allowed"),
    [
        ("*", {"create", "read", "update", "delete"}),
        ("create,read", {"create", "read"}),
        ("operate", {"operate"}),
        ("audit,read", {"audit", "read"}),
        ("*,operate", {"create", "read", "update", "delete", "operate"}),
    ],
)
def test_actions(actions: str, allowed: set[str]) -> None:
    """`*` is create, read, update and delete, and grows with no other action: those must be named."""
    rule = AllowRule.parse(f"{actions}:cmdb:1")
    assert {action for action in ACTIONS if rule.matches(action, "cmdb", "1")} == allowed
    assert not any(rule.matches(action, *place) for action in ACTIONS for place in (("cmdb", "2"), ("pm", "1")))


@pytest.mark.parametrize("actions", ["", "create,", "root", "create,root", "**", "CREATE"])
def test_unknown_actions(actions: str) -> None:
    """An action that does not exist is refused."""
    with pytest.raises(ValueError, match=r"say ACTIONS|there is no action"):
        AllowRule.parse(f"{actions}:cmdb:1")


def test_anonymous() -> None:
    """Without authentication every action is allowed, the ones that `*` does not contain too."""
    assert all(ANONYMOUS.is_allowed(action, "cmdb", "1") for action in ACTIONS)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        (("127.0.0.1", 8000), True),
        (("127.255.0.9", 8000), True),
        (("::1", 8000, 0, 0), True),
        (("::ffff:127.0.0.1", 8000, 0, 0), True),
        ("/run/gateway.sock", True),
        (b"\0abstract", True),
        (("0.0.0.0", 8000), False),  # noqa: S104 - nothing is bound
        (("192.0.2.2", 8000), False),
        (("::", 8000, 0, 0), False),
        (("::ffff:192.0.2.2", 8000, 0, 0), False),
        (("fe80::1%eth0", 8000, 0, 2), False),
        (("localhost", 8000), False),
        ((2130706433, 8000), False),
        (None, False),
    ],
)
def test_local_addresses(address: object, local: bool) -> None:
    """Loopback addresses, IPv4 ones in IPv6 too, and Unix sockets are local; what is no address is not."""
    assert is_local_address(address) == local
