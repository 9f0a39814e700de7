"""Callers and their allow-lists."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal

Action = Literal["create", "read", "update", "delete", "operate", "audit"]
ACTIONS: Final[tuple[Action, ...]] = ("create", "read", "update", "delete", "operate", "audit")
#: By the name in an allow-list. `*` stands for these four only: an existing list never allows an action added later.
_ACTION_SETS: Final[Mapping[str, frozenset[Action]]] = {
    "*": frozenset({"create", "read", "update", "delete"}),
    **{action: frozenset({action}) for action in ACTIONS},
}
_RULE: Final = re.compile(r"([a-z,*]+):([a-z][a-z0-9-]{0,31}|\*):([A-Za-z0-9]{1,64}|\*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class AllowRule:
    """One rule of an allow-list: actions, a connection and a scope; None stands for every connection or scope."""

    actions: frozenset[Action]
    connection: str | None
    scope: str | None

    @classmethod
    def parse(cls, text: str) -> AllowRule:
        """Parse `create,read:cmdb:1` or `*:cmdb:*`; raises ValueError."""
        match = _RULE.fullmatch(text)
        if match is None:
            raise ValueError("say ACTIONS:CONNECTION:SCOPE, such as create,read:cmdb:1 or *:projectman:*")
        names = match[1].split(",")
        if unknown := [name for name in names if name not in _ACTION_SETS]:
            raise ValueError(f"there is no action {', '.join(unknown)}; there are {', '.join(ACTIONS)}")
        actions = frozenset[Action]().union(*(_ACTION_SETS[name] for name in names))
        return cls(actions, *(None if part == "*" else part for part in (match[2], match[3])))

    def matches(self, action: Action, connection: str, scope: str) -> bool:
        """Return whether this rule allows an action."""
        return (
            action in self.actions
            and (self.connection is None or self.connection == connection)
            and (self.scope is None or self.scope == scope)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A client whose identity has been verified."""

    name: str
    allow: tuple[AllowRule, ...]
    user: str | None = None  # the acting user, sent to backends that record one (CMDB's bk_username)
    principal: str  # the owner of operations and idempotency keys: the caller, or its user if the credential names one

    def is_allowed(self, action: Action, connection: str, scope: str) -> bool:
        """Return whether any rule of the allow-list allows the action."""
        for rule in self.allow:  # noqa: SIM110 - runs in every request; any() would create a generator
            if rule.matches(action, connection, scope):
                return True
        return False

    def can_access(self, connection: str) -> bool:
        """Return whether any rule names the connection; the caller does not see other connections."""
        for rule in self.allow:  # noqa: SIM110 - runs in every request; any() would create a generator
            if rule.connection is None or rule.connection == connection:
                return True
        return False

    def allowed_scopes(self, connection: str, actions: Collection[Action]) -> frozenset[str] | None:
        """Return the scopes of a connection in which any of the actions is allowed; None stands for every scope."""
        rules = (rule for rule in self.allow if rule.connection in {None, connection})
        scopes = {rule.scope for rule in rules if not rule.actions.isdisjoint(actions)}
        return None if None in scopes else frozenset(scope for scope in scopes if scope is not None)


def is_local_address(address: object) -> bool:
    """Return whether only this machine can connect to an address that `socket.getsockname` returned."""
    if not isinstance(address, tuple):
        return isinstance(address, str | bytes)  # a Unix socket
    try:
        host = ip_address(str(address[0]))
    except ValueError:
        return False
    return (getattr(host, "ipv4_mapped", None) or host).is_loopback


#: The caller of every request if authentication is off (local addresses only); it may do everything.
ANONYMOUS: Final = Caller(name="anonymous", allow=(AllowRule(frozenset(ACTIONS), None, None),), principal="anonymous")
