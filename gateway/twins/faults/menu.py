"""Keeps the orders and draws from them: which faults strike the next request."""

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from .kinds import BEARERS, Fault, describe
from .orders import EVERY, Book, Order, can_strike


class Menu:
    """The orders in the sequence they were given; safe to use from many threads."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._lock = threading.Lock()
        self._orders: list[Order] = []
        self._struck: Counter[str] = Counter()

    def add(self, given: object) -> list[dict[str, Any]]:
        """Take one order or a list, all or none, and tell how they were read; raises OrderInvalidError."""
        orders = self.book.orders(given)
        with self._lock:
            self._orders.extend(orders)
            return [order.told() for order in orders]

    def clear(self) -> None:
        """Forget every order and every count."""
        with self._lock:
            self._orders.clear()
            self._struck.clear()

    def draw(self, operation: str, header: str | None, *, bears_token: bool) -> dict[str, Fault]:
        """Return what strikes a request, by slot: the header's faults first, then the oldest order for each slot.

        Raises OrderInvalidError for a header that makes no sense.
        """
        family = self.book.operations[operation]
        drawn: dict[str, Fault] = {}
        for fault in self.book.header(header) if header else ():
            drawn.setdefault(fault.kind.slot, fault)
        names = {EVERY, family, operation}
        with self._lock:
            for order in _matching(self._orders, names):
                kind = order.fault.kind
                if can_strike(kind, family) and (bears_token or kind.strikes != BEARERS):
                    order.seen += 1
                    if order.seen > order.after and order.pending and kind.slot not in drawn:
                        order.struck += 1
                        drawn[kind.slot] = order.fault
            self._struck.update(fault.kind.name for fault in drawn.values())
        return drawn

    def told(self) -> dict[str, Any]:
        """Tell what was ordered and what became of it, how often each kind has struck, and what can be ordered."""
        with self._lock:
            orders = [order.told() for order in self._orders]
            return {"faults": orders, "struck": dict(self._struck), "menu": list(describe(self.book.kinds))}


def _matching(orders: Iterable[Order], names: set[str]) -> list[Order]:
    return [order for order in orders if order.operation in names]
