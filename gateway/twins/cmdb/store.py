"""The data of a CMDB twin behind one lock, and the ledger of the writes that were applied."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from gateway.twins.cmdb.attributes import BUILT_IN_ATTRIBUTES, Attribute, custom_attribute
from gateway.twins.cmdb.seed import CmdbSeed
from gateway.twins.faults.injector import ReadLag, commit_write, fault_labels, read_lag_seconds

Row = dict[str, Any]
# The creation time of the seed's rows.
SEED_TIME: Final = datetime(2022, 2, 22, 12, 25, 19, 49_000, tzinfo=UTC)
UNIQUE_FIELDS: Final = ("bk_biz_id", "bk_set_id", "bk_module_name")


@dataclass(frozen=True)
class RequestInfo:
    """User, supplier account, language and ids of a request."""

    user: str = ""
    account: str = "0"
    english: bool = False
    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PreparedWrite:
    """A validated write: the row after it or, if `deleted`, the row to remove."""

    operation: str
    row: Row
    deleted: bool = False


class Store:
    """Rows by id, the unique index over (business, set, name), the id sequence and the ledger."""

    def __init__(self, seed: CmdbSeed, clock: Callable[[], datetime]) -> None:
        self.seed = seed
        self.clock = clock
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Return to the state of the seed."""
        with self._lock:
            self.businesses: dict[int, Row] = {}
            self.sets: dict[int, Row] = {}
            self.modules: dict[int, Row] = {}
            self.ids_by_natural_key: dict[tuple[Any, ...], int] = {}  # the unique index over modules
            self.hosts: dict[int, int] = {}  # module id → number of hosts
            self.associated: set[int] = set()  # the ids of modules with associations, which cannot be deleted
            self._lag: ReadLag[int, Row] = ReadLag()
            self.ledger: list[Row] = []
            self.requests: Counter[str] = Counter()
            custom_attributes = map(custom_attribute, self.seed.attributes)
            self.attributes: tuple[Attribute, ...] = (*BUILT_IN_ATTRIBUTES, *custom_attributes)
            self._ids = count(self.seed.next_module_id)
            for business in self.seed.businesses:
                self._load_business(business)

    def _load_business(self, business: Row) -> None:
        """Store a business of the seed, with its sets and their modules."""
        biz = business["bk_biz_id"]
        common_fields = {"create_time": SEED_TIME, "last_time": SEED_TIME, "bk_supplier_account": "0", "bk_biz_id": biz}
        attributes = {key: value for key, value in business.items() if key != "sets"}
        defaults = {"default": 0, "life_cycle": "2", "bk_data_status": "enable"}
        self.businesses[biz] = {**defaults, **common_fields, **attributes}
        for set_ in business.get("sets", ()):
            attributes = {key: value for key, value in set_.items() if key != "modules"}
            defaults = {"bk_parent_id": biz, "default": 0, "set_template_id": 0}
            self.sets[set_["bk_set_id"]] = {**defaults, **common_fields, **attributes}
            for module in set_.get("modules", ()):
                row = self.new_row(biz, set_["bk_set_id"]) | module
                self.hosts[row["bk_module_id"]] = row.pop("hosts", 0)
                if row.pop("associated", False):
                    self.associated.add(row["bk_module_id"])
                self._store_row(row)

    def new_row(self, biz: int, set_id: int) -> Row:
        """Return a module row with CMDB's default values."""
        custom_names = (
            attribute.name for attribute in self.attributes[len(BUILT_IN_ATTRIBUTES) :] if attribute.biz in (0, biz)
        )
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
            **dict.fromkeys(("create_time", "last_time", "bk_created_at", "bk_updated_at"), SEED_TIME),
        }

    def template_attributes(self, template_id: int) -> Row:
        """Return the attributes that a service template fixes on its modules."""
        templates = (template for template in self.seed.service_templates if template["id"] == template_id)
        return dict(next(templates, {}).get("fixed", {}))

    def new_id(self) -> int:
        """Return the next module id; ids of deleted modules are not reused."""
        return next(self._ids)

    def read_lock(self) -> AbstractContextManager[object]:
        """Return the lock that keeps the rows unchanged during a read."""
        return self._lock

    def readable_modules(self) -> Mapping[int, Row]:
        """Return the modules as reads see them, without the writes that a read lag hides."""
        return self._lag.visible(self.modules)

    def write(self, info: RequestInfo, prepare: Callable[[], PreparedWrite | None]) -> Row | None:
        """Prepare and apply a write in one transaction; the only method that changes modules.

        `prepare` validates and returns the write, or None if nothing is to change; it raises CmdbError.
        """
        return commit_write(lambda: self._apply_and_record(info, prepare))

    def _apply_and_record(self, info: RequestInfo, prepare: Callable[[], PreparedWrite | None]) -> Row | None:
        with self._lock:
            write = prepare()
            if write is None:
                return None
            if lag_seconds := read_lag_seconds():
                module_id = write.row["bk_module_id"]
                self._lag.hide(lag_seconds, {module_id: self.modules.get(module_id)})
            self._apply(write)
            self._append_ledger(write, info)
            return dict(write.row)

    def count_request(self, operation: str) -> None:
        """Count a request, whatever its outcome."""
        with self._lock:
            self.requests[operation] += 1

    def _apply(self, write: PreparedWrite) -> None:
        old_row = self.modules.pop(write.row["bk_module_id"], None)
        if old_row:
            del self.ids_by_natural_key[natural_key(old_row)]
        if write.deleted:
            self.hosts.pop(write.row["bk_module_id"], None)
        else:
            self._store_row(write.row)

    def _store_row(self, row: Row) -> None:
        self.modules[row["bk_module_id"]] = row
        self.ids_by_natural_key[natural_key(row)] = row["bk_module_id"]

    def _append_ledger(self, write: PreparedWrite, info: RequestInfo) -> None:
        self.ledger.append(
            {
                "sequence": len(self.ledger) + 1,
                "at": self.clock(),
                "operation": write.operation,
                "natural_key": natural_key(write.row),
                "id": write.row["bk_module_id"],
                "user": info.user,
                "request_id": info.request_id,
                "headers": dict(info.headers),
                **({"faults": labels} if (labels := fault_labels()) else {}),
            }
        )


def natural_key(row: Row) -> tuple[Any, ...]:
    """Return the key of the unique index, which does not contain the supplier account (facts, section 6)."""
    return tuple(row[name] for name in UNIQUE_FIELDS)
