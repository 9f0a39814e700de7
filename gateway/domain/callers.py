"""Who calls the gateway, and what each caller may do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

Action = Literal["create", "read", "update", "delete"]
ACTIONS: Final[tuple[Action, ...]] = ("create", "read", "update", "delete")
_RULE: Final = re.compile(r"([a-z,]+|\*):([a-z][a-z0-9-]{0,31}|\*):([A-Za-z0-9]{1,64}|\*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class AllowRule:
    """One line of an allow-list: actions, a connection and a scope; None stands for all of them."""

    actions: frozenset[Action] | None
    connection: str | None
    scope: str | None

    @classmethod
    def parse(cls, text: str) -> AllowRule:
        """Read `create,read:cmdb:1`, with * for all; raises ValueError."""
        match = _RULE.fullmatch(text)
        if match is None:
            raise ValueError("say ACTIONS:CONNECTION:SCOPE, such as create,read:cmdb:1 or *:projectman:*")
        words = match[1].split(",")
        known: dict[str, Action] = {action: action for action in ACTIONS}
        if match[1] != "*" and (unknown := [word for word in words if word not in known]):
            raise ValueError(f"there is no action {', '.join(unknown)}; there are {', '.join(ACTIONS)}")
        actions = None if match[1] == "*" else frozenset(known[word] for word in words)
        return cls(actions, *(None if part == "*" else part for part in (match[2], match[3])))

    def matches(self, action: Action, connection: str, scope: str) -> bool:
        """Tell whether this line allows an action."""
        return (
            (self.actions is None or action in self.actions)
            and (self.connection is None or self.connection == connection)
            and (self.scope is None or self.scope == scope)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody whose identity has been verified, by whatever means."""

    name: str
    allow: tuple[AllowRule, ...]
    user: str | None = None  # for whom he acts: sent along where a backend wants to know (CMDB's bk_username)
    principal: str  # whose the operations and keys are: the caller, or one user of his where the proof named one

    def is_allowed(self, action: Action, connection: str, scope: str) -> bool:
        """Tell whether any line of the allow-list covers it; what no line covers is forbidden."""
        for rule in self.allow:  # noqa: SIM110 - asked on every request; any() would take a generator each time
            if rule.matches(action, connection, scope):
                return True
        return False

    def can_access(self, connection: str) -> bool:
        """Tell whether any line names the connection: what nobody may use, nobody need see."""
        for rule in self.allow:  # noqa: SIM110 - the same
            if rule.connection is None or rule.connection == connection:
                return True
        return False


#: Who asks where there is no authentication, on a loopback address: everything is theirs.
ANONYMOUS: Final = Caller(name="anonymous", allow=(AllowRule(None, None, None),), principal="anonymous")
