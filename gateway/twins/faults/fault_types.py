"""The fault types of every twin and the parameters of each; a backend adds its own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MAX_SECONDS: Final = 3_600.0
MAX_BYTES: Final = 1 << 30

# The category of a fault type: one fault of each category can apply to a request. A fault type that excludes no other
# has a category of its own, named after it.
DELAY: Final = "delay"
RESPONSE: Final = "response"
TRANSPORT: Final = "transport"

# The kinds of operations that a rule can name.
WRITE_KINDS: Final = ("create", "update", "delete")
OPERATION_KINDS: Final = (*WRITE_KINDS, "list", "token")

# Which requests a fault type applies to.
ALL_REQUESTS: Final = "all"
WRITES: Final = "writes"
AUTHENTICATED_REQUESTS: Final = "authenticated"  # requests with the header X-Auth-Token


@dataclass(frozen=True)
class NumberParam:
    """A numeric parameter; if the default is None, the fault computes the value."""

    default: float | None
    minimum: float = 0
    maximum: float = MAX_SECONDS
    integer: bool = False

    def parse(self, value: object) -> float:
        """Return the value; raises ValueError, whose text is written after the parameter's name: "must be …"."""
        expected = "an integer" if self.integer else "a number"
        error = ValueError(f"must be {expected} from {self.minimum:g} to {self.maximum:g}, not {value!r}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise error
        if not self.minimum <= value <= self.maximum or (self.integer and not isinstance(value, int)):
            raise error
        return value


@dataclass(frozen=True)
class ChoiceParam:
    """A text parameter: one of `choices`, or any printable ASCII if there are none."""

    default: str
    choices: tuple[str, ...] = ()

    def parse(self, value: object) -> str:
        """Return the value; raises ValueError, whose text is written after the parameter's name: "must be …"."""
        if self.choices and value not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}, not {value!r}")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise ValueError(f"must be printable ASCII, not {value!r}")
        return value


Parameter = NumberParam | ChoiceParam


def effect_params(default_effect: str) -> dict[str, Parameter]:
    """Return the parameters that say what happens to the request's write; `seconds` is the delay of a late one."""
    return {"effect": ChoiceParam(default_effect, ("now", "never", "late")), "seconds": NumberParam(1.0)}


@dataclass(frozen=True)
class FaultType:
    """A fault with its parameters, as `GET /twin/faults` lists it in the menu."""

    name: str
    category: str
    meaning: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    applies_to: str = ALL_REQUESTS

    def is_applicable(self, operation_kind: str) -> bool:
        """Return whether the fault can apply to an operation of this kind."""
        if self.applies_to == WRITES:
            return operation_kind in WRITE_KINDS
        if self.applies_to == AUTHENTICATED_REQUESTS:
            return operation_kind != "token"  # a request that obtains a token carries none
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return the fault type as an entry of the menu."""
        defaults = {name: parameter.default for name, parameter in self.parameters.items()}
        return {"fault": self.name, "meaning": self.meaning, "parameters": defaults}


@dataclass(frozen=True)
class Fault:
    """A fault type with a value for each parameter."""

    type: FaultType
    parameters: Mapping[str, Any]

    @property
    def effect(self) -> str:
        """When the write is applied: `now`, `late` or, as for a fault without this parameter, `never`."""
        return str(self.parameters.get("effect", "never"))

    @property
    def label(self) -> str:
        """The fault's name in the ledger; the suffix marks a delayed write."""
        return f"{self.type.name};effect=late" if self.effect == "late" else self.type.name


COMMON_FAULT_TYPES: Final = (
    FaultType(
        "delay",
        DELAY,
        "wait `seconds`: `when` is `before` the write commits, or `after`, before the response is sent",
        {"seconds": NumberParam(1.0), "when": ChoiceParam("before", ("before", "after"))},
    ),
    FaultType("drop", RESPONSE, "close the connection without sending a byte", effect_params("now")),
    FaultType(
        "reset",
        RESPONSE,
        "reset the connection (RST) after `byte` bytes of the response, head included",
        {"byte": NumberParam(0, maximum=MAX_BYTES, integer=True), **effect_params("now")},
    ),
    FaultType("html", RESPONSE, "respond 200 with an HTML page, as a proxy or a login page does", effect_params("now")),
    FaultType(
        "status",
        RESPONSE,
        "respond with `status` and an empty, HTML or JSON body",
        {
            "status": NumberParam(503, 200, 599, integer=True),
            "body": ChoiceParam("empty", ("empty", "html", "json")),
            **effect_params("never"),
        },
    ),
    FaultType(
        "redirect", RESPONSE, "respond 302 to `location`", {"location": ChoiceParam("/login"), **effect_params("never")}
    ),
    FaultType(
        "truncate",
        TRANSPORT,
        "close after `bytes` of the body (default: half); Content-Length is that of the whole body",
        {"bytes": NumberParam(None, maximum=MAX_BYTES, integer=True)},
    ),
    FaultType(
        "drip",
        TRANSPORT,
        "send the response, head included, `bytes` at a time, every `seconds`",
        {"bytes": NumberParam(1, 1, MAX_BYTES, integer=True), "seconds": NumberParam(0.1)},
    ),
    FaultType(
        "read-lag",
        "read-lag",
        "hide the write from reads of modules for `seconds`; its name is in use, and its id known to writes, at once",
        {"seconds": NumberParam(1.0)},
        WRITES,
    ),
    FaultType(
        "clock-skew",
        "clock-skew",
        "set the twin's clock `seconds` ahead (behind if negative) for this request",
        {"seconds": NumberParam(0, -1e9, 1e9)},
    ),
)
