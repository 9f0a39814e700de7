"""Everything a CMDB twin holds, under one lock, and the ledger of what really changed."""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from gateway.twins.cmdb.attributes import BUILT_IN, Attribute, custom
from gateway.twins.cmdb.seed import Seed
from gateway.twins.faults import ReadLag, commit, labels, lag

Row = dict[str, Any]
# When everything that a seed lays was created.
SEEDED: Final = datetime(2022, 2, 22, 12, 25, 19, 49_000, tzinfo=UTC)
UNIQUE: Final = ("bk_biz_id", "bk_set_id", "bk_module_name")


@dataclass(frozen=True)
class Caller:
    """Who asks, in which words to answer, and how the request is known along the way."""

    user: str = ""
    account: str = "0"
    english: bool = False
    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """A write that was found in order: the row after it, or `deleted`, the row that goes."""

    operation: str
    row: Row
    deleted: bool = False


class Store:
    """The rows by id, the unique index over (business, set, name), the sequence, the ledger."""

    def __init__(self, seed: Seed, clock: Callable[[], datetime]) -> None:
        self.seed = seed
        self.clock = clock
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Lay the seed anew: rows, sequence, ledger and counts."""
        with self._lock:
            self.businesses: dict[int, Row] = {}
            self.sets: dict[int, Row] = {}
            self.modules: dict[int, Row] = {}
            self.names: dict[tuple[Any, ...], int] = {}
            self.hosts: dict[int, int] = {}
            self.associated: set[int] = set()
            self._lag: ReadLag[int, Row] = ReadLag()
            self.ledger: list[Row] = []
            self.requests: dict[str, int] = {}
            self.attributes: tuple[Attribute, ...] = (*BUILT_IN, *map(custom, self.seed.attributes))
            self._ids = count(self.seed.next_module_id)
            for business in self.seed.businesses:
                self._lay(business)

    def _lay(self, business: Row) -> None:
        biz = {"bk_biz_id": business["bk_biz_id"]}
        times = {"create_time": SEEDED, "last_time": SEEDED, "bk_supplier_account": "0"}
        about = {key: value for key, value in business.items() if key != "sets"}
        self.businesses[biz["bk_biz_id"]] = {"default": 0, "life_cycle": "2", **times, **about}
        for each in business.get("sets", ()):
            about = {key: value for key, value in each.items() if key != "modules"}
            parent = {"bk_parent_id": biz["bk_biz_id"], "default": 0, "set_template_id": 0}
            self.sets[each["bk_set_id"]] = {**parent, **times, **biz, **about}
            for module in each.get("modules", ()):
                row = self.blank(biz["bk_biz_id"], each["bk_set_id"]) | biz | module
                self.hosts[row["bk_module_id"]] = row.pop("hosts", 0)
                if row.pop("associated", False):
                    self.associated.add(row["bk_module_id"])
                self._index(row)

    def blank(self, biz: int, set_id: int) -> Row:
        """Return a module row with what CMDB fills in by itself."""
        custom_names = (each.name for each in self.attributes[len(BUILT_IN) :] if each.biz in (0, biz))
        return dict.fromkeys(custom_names) | {
            "bk_biz_id": biz,
            "bk_set_id": set_id,
            "bk_parent_id": set_id,
            "bk_module_type": "1",
            "operator": None,
            "bk_bak_operator": None,
            "service_category_id": 2,
            "service_template_id": 0,
            "set_template_id": 0,
            "host_apply_enabled": False,
            "default": 0,
            "bk_supplier_account": "0",
            "bk_created_by": "cc_system",
            "bk_updated_by": None,
            **dict.fromkeys(("create_time", "last_time", "bk_created_at", "bk_updated_at"), SEEDED),
        }

    def fixed_by(self, template_id: int) -> Row:
        """Return the attributes that a service template holds on its modules."""
        found = (each for each in self.seed.service_templates if each["id"] == template_id)
        return dict(next(found, {}).get("fixed", {}))

    def new_id(self) -> int:
        """Take the next module id; ids of deleted modules never come back."""
        return next(self._ids)

    def now(self) -> datetime:
        """Return the clock's time."""
        return self.clock()

    def reading(self) -> AbstractContextManager[object]:
        """Hold the rows still while they are looked at."""
        return self._lock

    def readable_modules(self) -> Mapping[int, Row]:
        """Return the modules as reads see them, which is without what a read lag hides."""
        return self._lag.seen(self.modules)

    def write(self, caller: Caller, decide: Callable[[], Change | None]) -> Row | None:
        """Check and commit as one transaction: the only place where a write takes effect.

        `decide` raises a Refusal, or returns what is to change, or None where nothing is.
        """
        return commit(lambda: self._write(caller, decide))

    def _write(self, caller: Caller, decide: Callable[[], Change | None]) -> Row | None:
        with self._lock:
            change = decide()
            if change is None:
                return None
            if hidden_for := lag():
                number = change.row["bk_module_id"]
                self._lag.hide(hidden_for, {number: self.modules.get(number)})
            self._commit(change)
            self._record(change, caller)
            return dict(change.row)

    def count_request(self, operation: str) -> None:
        """Count one arrival of an operation, whatever becomes of it."""
        with self._lock:
            self.requests[operation] = self.requests.get(operation, 0) + 1

    def _commit(self, change: Change) -> None:
        before = self.modules.pop(change.row["bk_module_id"], None)
        if before:
            del self.names[natural_key(before)]
        if change.deleted:
            self.hosts.pop(change.row["bk_module_id"], None)
        else:
            self._index(change.row)

    def _index(self, row: Row) -> None:
        self.modules[row["bk_module_id"]] = row
        self.names[natural_key(row)] = row["bk_module_id"]

    def _record(self, change: Change, caller: Caller) -> None:
        self.ledger.append(
            {
                "sequence": len(self.ledger) + 1,
                "at": self.now(),
                "operation": change.operation,
                "natural_key": natural_key(change.row),
                "id": change.row["bk_module_id"],
                "user": caller.user,
                "request_id": caller.request_id,
                "headers": dict(caller.headers),
                **({"faults": struck} if (struck := labels()) else {}),
            }
        )


def natural_key(row: Row) -> tuple[Any, ...]:
    """Return what the unique index is over; the supplier account is no part of it (facts, section 6)."""
    return tuple(row[name] for name in UNIQUE)
