"""Reads orders for faults, as JSON or from a request's header, and refuses in plain words what makes no sense."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .kinds import BEARERS, WRITES, Fault, Kind, Number

WRITE_FAMILIES: Final = ("create", "update", "delete")
FAMILIES: Final = (*WRITE_FAMILIES, "list", "token")
EVERY: Final = "*"
FOR_EVER: Final = -1
_MOST: Final = 1_000_000
_COUNTS: Final[Mapping[str, Number]] = {
    "times": Number(1, FOR_EVER, _MOST, whole=True),
    "after": Number(0, 0, _MOST, whole=True),
}


class OrderInvalidError(ValueError):
    """An order that cannot be taken; the message says what is wrong with it."""


@dataclass
class Order:
    """A fault that waits for its requests, and how often it has met and struck them."""

    fault: Fault
    operation: str
    times: int
    after: int
    seen: int = 0
    struck: int = 0

    @property
    def pending(self) -> bool:
        """Whether it can strike again."""
        return self.times == FOR_EVER or self.struck < self.times

    def told(self) -> dict[str, Any]:
        """Write the order down with all of its defaults, and what became of it so far."""
        own = {"fault": self.fault.kind.name, "operation": self.operation, "times": self.times, "after": self.after}
        return {**own, **self.fault.parameters, "seen": self.seen, "struck": self.struck, "pending": self.pending}


@dataclass(frozen=True)
class Book:
    """What can be ordered at one twin: its kinds by name, its operations with the family each belongs to."""

    kinds: Mapping[str, Kind]
    operations: Mapping[str, str]

    def orders(self, given: object) -> list[Order]:
        """Read one order or a list of them, all or none; raises OrderInvalidError."""
        return [self._order(each) for each in (given if isinstance(given, list | tuple) else [given])]

    def header(self, text: str) -> list[Fault]:
        """Read `<kind>[;<parameter>=<value>…]`, several of them after commas; raises OrderInvalidError."""
        return [self._fault(dict(_pairs(part))) for part in text.split(",")]

    def _order(self, given: object) -> Order:
        if not isinstance(given, Mapping):
            raise OrderInvalidError(f"an order is a JSON object, not {given!r}")
        rest = dict(given)
        counts = {name: int(_read(number, name, rest.pop(name, number.default))) for name, number in _COUNTS.items()}
        operation = rest.pop("operation", EVERY)
        fault = self._fault(rest)
        if counts["times"] == 0:
            raise OrderInvalidError("times must be a whole number from 1, or -1 for ever, not 0")
        if operation not in (allowed := self._targets(fault.kind)):
            raise OrderInvalidError(
                f"operation must be one of {', '.join(allowed)} for {fault.kind.name}, not {operation!r}"
            )
        return Order(fault, operation, **counts)

    def _targets(self, kind: Kind) -> list[str]:
        """List what an order of this kind may name: `*`, a family, or the twin's own name of an operation."""
        strikable = {name: family for name, family in self.operations.items() if can_strike(kind, family)}
        return [EVERY, *(family for family in FAMILIES if family in strikable.values()), *strikable]

    def _fault(self, given: Mapping[str, Any]) -> Fault:
        name = given.get("fault")
        kind = self.kinds.get(name) if isinstance(name, str) else None
        if kind is None:
            raise OrderInvalidError(f"unknown fault {name!r}; this twin knows {', '.join(self.kinds)}")
        if unknown := sorted(map(str, given.keys() - {"fault", *kind.parameters})):
            known = ", ".join(kind.parameters) or "none"
            raise OrderInvalidError(f"{name} takes no {', '.join(unknown)}; its parameters: {known}")
        defaults = {each: parameter.default for each, parameter in kind.parameters.items()}
        read = {each: _read(kind.parameters[each], each, given[each]) for each in kind.parameters if each in given}
        fault = Fault(kind, {**defaults, **read})
        if fault.parameters.get("byte") and fault.effect != "now":
            raise OrderInvalidError("byte must be 0 unless effect is now: there is no reply to send a part of")
        return fault


def can_strike(kind: Kind, family: str) -> bool:
    """Tell whether requests of this family are any concern of the kind."""
    return family in WRITE_FAMILIES if kind.strikes == WRITES else kind.strikes != BEARERS or family != "token"


def _read(parameter: Any, name: str, value: object) -> Any:
    try:
        return parameter.read(value)
    except ValueError as error:
        raise OrderInvalidError(f"{name} {error}") from None


def _pairs(part: str) -> Iterator[tuple[str, Any]]:
    """Split one fault of a header; a value that is no JSON number is a word."""
    kind, *parameters = (piece.strip() for piece in part.split(";"))
    yield "fault", kind
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        if not equals:
            raise OrderInvalidError(f"{kind}: a parameter is written name=value, not {parameter!r}")
        try:
            yield name, json.loads(value)
        except ValueError:
            yield name, value
