"""The kinds of fault that every twin knows, with the parameters each takes; a twin adds its backend's own."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MAX_SECONDS: Final = 3_600.0
MAX_BYTES: Final = 1 << 30

# One request can be struck by several faults, but by one in each slot only; a fault with a slot of its own
# stands beside all others.
PACE: Final = "pace"
ANSWER: Final = "answer"
WIRE: Final = "wire"

# Which requests a kind can strike.
ALL: Final = "all"
WRITES: Final = "writes"
BEARERS: Final = "bearers"  # requests that come with a token


@dataclass(frozen=True)
class Number:
    """A parameter that is a number; a default of None stands for what the kind itself works out."""

    default: float | None
    least: float = 0
    most: float = MAX_SECONDS
    whole: bool = False

    def read(self, value: object) -> float:
        """Return the value; raises ValueError, whose text completes "<name> …"."""
        wanted = "a whole number" if self.whole else "a number"
        refused = ValueError(f"must be {wanted} from {self.least:g} to {self.most:g}, not {value!r}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise refused
        if not self.least <= value <= self.most or (self.whole and not isinstance(value, int)):
            raise refused
        return value


@dataclass(frozen=True)
class Word:
    """A parameter that is one of a few words, or any printable text where none are listed."""

    default: str
    allowed: tuple[str, ...] = ()

    def read(self, value: object) -> str:
        """Return the value; raises ValueError, whose text completes "<name> …"."""
        if self.allowed and value not in self.allowed:
            raise ValueError(f"must be one of {', '.join(self.allowed)}, not {value!r}")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise ValueError(f"must be printable ASCII, not {value!r}")
        return value


Parameter = Number | Word


def seconds(default: float = 1.0) -> Number:
    """Return a parameter in seconds of real time, whatever clock the twin tells the time by."""
    return Number(default)


def effect(default: str) -> dict[str, Parameter]:
    """Return the two parameters that say what becomes of the request's write, whatever is answered."""
    return {"effect": Word(default, ("now", "never", "late")), "seconds": seconds()}


@dataclass(frozen=True)
class Kind:
    """One entry of the menu."""

    name: str
    slot: str
    meaning: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    strikes: str = ALL


KINDS: Final = (
    Kind(
        "delay",
        PACE,
        "wait `seconds`: `when` is `before` the write commits, or `after`, before the reply leaves",
        {"seconds": seconds(), "when": Word("before", ("before", "after"))},
    ),
    Kind("drop", ANSWER, "close the connection without a byte of a reply", effect("now")),
    Kind(
        "reset",
        ANSWER,
        "reset the connection (RST) when `byte` bytes of the reply, its head included, have left",
        {"byte": Number(0, most=MAX_BYTES, whole=True), **effect("now")},
    ),
    Kind("html", ANSWER, "answer 200 with an HTML page, as a proxy or a login page does", effect("now")),
    Kind(
        "status",
        ANSWER,
        "answer `status` with an empty body, or one of HTML or of JSON",
        {
            "status": Number(503, 200, 599, whole=True),
            "body": Word("empty", ("empty", "html", "json")),
            **effect("never"),
        },
    ),
    Kind("redirect", ANSWER, "answer 302 to `location`", {"location": Word("/login"), **effect("never")}),
    Kind(
        "truncate",
        WIRE,
        "close when `bytes` of the body have left (default: half), while Content-Length promises all of it",
        {"bytes": Number(None, most=MAX_BYTES, whole=True)},
    ),
    Kind(
        "drip",
        WIRE,
        "send the reply, its head included, `bytes` at a time, every `seconds`",
        {"bytes": Number(1, 1, MAX_BYTES, whole=True), "seconds": seconds(0.1)},
    ),
    Kind(
        "read-lag",
        "read-lag",
        "hide the write from reads of modules for `seconds`; its name is taken, and its id known to writes, at once",
        {"seconds": seconds()},
        WRITES,
    ),
    Kind(
        "clock-skew",
        "clock-skew",
        "let the twin's clock be `seconds` ahead (behind, where negative) for this request",
        {"seconds": Number(0, -1e9, 1e9)},
    ),
)


@dataclass(frozen=True)
class Fault:
    """A kind with all of its parameters settled."""

    kind: Kind
    parameters: Mapping[str, Any]

    @property
    def effect(self) -> str:
        """What becomes of the write: now, never or late; a kind that gives no choice answers in its place."""
        return str(self.parameters.get("effect", "never"))

    @property
    def label(self) -> str:
        """Name the fault as ledgers do: the kind, and whether the write came late."""
        return f"{self.kind.name};effect=late" if self.effect == "late" else self.kind.name


def describe(kinds: Mapping[str, Kind]) -> Iterator[dict[str, Any]]:
    """Write the menu down: every kind with its meaning and the defaults of its parameters."""
    for kind in kinds.values():
        defaults = {name: parameter.default for name, parameter in kind.parameters.items()}
        yield {"fault": kind.name, "meaning": kind.meaning, "parameters": defaults}
