"""The faults that strike the request at hand, and what they mean to the place where its write commits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar

from flask import current_app, g, has_app_context

from .kinds import ANSWER, Fault
from .waits import LateWrites

_Result = TypeVar("_Result")


class Withheld(Exception):
    """The request goes no further; what is answered in its place is the strike's affair."""


@dataclass(frozen=True)
class Strike:
    """At most one fault for each slot."""

    faults: Mapping[str, Fault] = field(default_factory=dict)
    late: LateWrites | None = None

    @property
    def labels(self) -> list[str]:
        """Name the faults for a ledger."""
        return sorted(fault.label for fault in self.faults.values())

    def parameter(self, slot: str, name: str = "seconds") -> float:
        """Return a number from the fault in a slot, 0 where there is none."""
        fault = self.faults.get(slot)
        return float(fault.parameters[name]) if fault else 0.0


NONE: Final = Strike()


def current() -> Strike:
    """Return the strike on the request, or the late write, that this thread is at."""
    strike: Strike = g.get("strike", NONE) if has_app_context() else NONE
    return strike


def commit(perform: Callable[[], _Result]) -> _Result:
    """Let a write happen, now or late: in this case Withheld is raised, and `perform` judges by its own time."""
    strike = current()
    answer = strike.faults.get(ANSWER)
    if strike.late is None or answer is None or answer.effect != "late":
        return perform()
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - Flask's documented way

    def perform_late() -> None:
        with app.app_context():
            g.strike = Strike(strike.faults)
            perform()

    strike.late.schedule(answer.parameters["seconds"], perform_late)
    raise Withheld


def labels() -> list[str]:
    """Name the faults that strike here, for a ledger."""
    return current().labels


def lag() -> float:
    """Return for how many seconds readers are not to see the write at hand."""
    return current().parameter("read-lag")


def skewed(clock: Callable[[], datetime]) -> Callable[[], datetime]:
    """Return a clock that is as wrong as the request at hand is to have it."""
    return lambda: clock() + timedelta(seconds=current().parameter("clock-skew"))
