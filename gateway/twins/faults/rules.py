"""Rules that say which requests fail and how: parsing from JSON or a header, and matching of requests."""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.twins.faults.fault_types import (
    AUTHENTICATED_REQUESTS,
    OPERATION_KINDS,
    Fault,
    FaultType,
    NumberParam,
    Parameter,
)

ANY: Final = "*"
UNLIMITED: Final = -1
_MAX_COUNT: Final = 1_000_000
_COUNT_PARAMS: Final[Mapping[str, NumberParam]] = {
    "times": NumberParam(1, UNLIMITED, _MAX_COUNT, integer=True),
    "after": NumberParam(0, 0, _MAX_COUNT, integer=True),
}


class InvalidRuleError(ValueError):
    """A rule that is not valid; the message names the error."""


@dataclass
class FaultRule:
    """A fault and the requests it applies to, with the number of requests seen and failed so far."""

    fault: Fault
    operation: str
    times: int
    after: int
    seen: int = 0
    applied: int = 0

    @property
    def pending(self) -> bool:
        """Whether the fault can still apply to a request."""
        return self.times == UNLIMITED or self.applied < self.times

    def to_dict(self) -> dict[str, Any]:
        """Return the rule with all defaults filled in, and its counts."""
        return {
            "fault": self.fault.type.name,
            "operation": self.operation,
            "times": self.times,
            "after": self.after,
            **self.fault.parameters,
            "seen": self.seen,
            "struck": self.applied,
            "pending": self.pending,
        }


@dataclass(frozen=True)
class FaultCatalog:
    """The fault types of one twin by name, and the kind of each of its operations."""

    types: Mapping[str, FaultType]
    operations: Mapping[str, str]

    def parse_rules(self, document: object) -> list[FaultRule]:
        """Parse one rule or a list of rules; raises InvalidRuleError."""
        rules = document if isinstance(document, list | tuple) else [document]
        return [self._parse_rule(rule) for rule in rules]

    def parse_header(self, text: str) -> list[Fault]:
        """Parse `<fault>[;<parameter>=<value>…]`, separated by commas; raises InvalidRuleError."""
        return [self._parse_fault(dict(_parse_header_element(element))) for element in text.split(",")]

    def _parse_rule(self, rule: object) -> FaultRule:
        if not isinstance(rule, Mapping):
            raise InvalidRuleError(f"a rule must be a JSON object, not {rule!r}")
        remaining = dict(rule)
        counts = {
            name: int(_parse_value(parameter, name, remaining.pop(name, parameter.default)))
            for name, parameter in _COUNT_PARAMS.items()
        }
        operation = remaining.pop("operation", ANY)
        fault = self._parse_fault(remaining)
        if counts["times"] == 0:
            raise InvalidRuleError("times must be an integer from 1, or -1 for no limit, not 0")
        if operation not in (allowed_operations := self._allowed_operations(fault.type)):
            raise InvalidRuleError(
                f"operation must be one of {', '.join(allowed_operations)} for {fault.type.name}, not {operation!r}"
            )
        return FaultRule(fault, operation, **counts)

    def _allowed_operations(self, fault_type: FaultType) -> list[str]:
        """Return the values of `operation` in a rule with this fault: `*`, kinds of operations, operations."""
        applicable = {name: kind for name, kind in self.operations.items() if fault_type.is_applicable(kind)}
        return [ANY, *(kind for kind in OPERATION_KINDS if kind in applicable.values()), *applicable]

    def _parse_fault(self, members: Mapping[str, Any]) -> Fault:
        name = members.get("fault")
        fault_type = self.types.get(name) if isinstance(name, str) else None
        if fault_type is None:
            raise InvalidRuleError(f"unknown fault {name!r}; expected one of {', '.join(self.types)}")
        parameters = fault_type.parameters
        if unknown := sorted(map(str, members.keys() - {"fault", *parameters})):
            raise InvalidRuleError(
                f"{name} has no parameter {', '.join(unknown)}; its parameters: {', '.join(parameters) or 'none'}"
            )
        fault = Fault(
            fault_type,
            {
                key: _parse_value(parameter, key, members[key]) if key in members else parameter.default
                for key, parameter in parameters.items()
            },
        )
        if fault.parameters.get("byte") and fault.effect != "now":
            raise InvalidRuleError("byte must be 0 unless effect is now: there is no response to send a part of")
        return fault


class FaultQueue:
    """The rules of one twin, oldest first; thread-safe."""

    def __init__(self, catalog: FaultCatalog) -> None:
        self.catalog = catalog
        self._lock = threading.Lock()
        self._rules: list[FaultRule] = []
        self._applied: Counter[str] = Counter()

    def add(self, document: object) -> list[dict[str, Any]]:
        """Add one rule or a list, all or none, and return them with defaults; raises InvalidRuleError."""
        rules = self.catalog.parse_rules(document)
        with self._lock:
            self._rules.extend(rules)
            return [rule.to_dict() for rule in rules]

    def clear(self) -> None:
        """Remove all rules and counts."""
        with self._lock:
            self._rules.clear()
            self._applied.clear()

    def match(self, operation: str, header: str | None, *, has_token: bool) -> dict[str, Fault]:
        """Return the faults that apply to a request, by category, and count the request in the rules it matches.

        A fault in the header precedes a rule of its category, an older rule a newer one. Raises InvalidRuleError for
        an invalid header.
        """
        operation_kind = self.catalog.operations[operation]
        matched: dict[str, Fault] = {}
        for fault in self.catalog.parse_header(header) if header else ():
            matched.setdefault(fault.type.category, fault)
        matching_operations = {ANY, operation_kind, operation}
        with self._lock:
            for rule in self._rules:
                fault_type = rule.fault.type
                if rule.operation not in matching_operations or not fault_type.is_applicable(operation_kind):
                    continue
                if fault_type.applies_to == AUTHENTICATED_REQUESTS and not has_token:
                    continue
                rule.seen += 1
                if rule.seen > rule.after and rule.pending and fault_type.category not in matched:
                    rule.applied += 1
                    matched[fault_type.category] = rule.fault
            self._applied.update(fault.type.name for fault in matched.values())
        return matched

    def to_dict(self) -> dict[str, Any]:
        """Return the rules, how often each fault was applied, and the menu of faults."""
        with self._lock:
            return {
                "faults": [rule.to_dict() for rule in self._rules],
                "struck": dict(self._applied),
                "menu": [fault_type.to_dict() for fault_type in self.catalog.types.values()],
            }


def _parse_value(parameter: Parameter, name: str, value: object) -> Any:
    try:
        return parameter.parse(value)
    except ValueError as error:
        raise InvalidRuleError(f"{name} {error}") from None


def _parse_header_element(element: str) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each member of one fault in a header; a value that is not JSON is text.

    Raises InvalidRuleError.
    """
    fault, *parameters = (part.strip() for part in element.split(";"))
    yield "fault", fault
    for parameter in parameters:
        name, separator, value = parameter.partition("=")
        if not separator:
            raise InvalidRuleError(f"{fault}: a parameter must be name=value, not {parameter!r}")
        try:
            yield name, json.loads(value)
        except ValueError:
            yield name, value
