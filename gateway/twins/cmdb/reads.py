"""Answers every question about businesses, sets and modules; nothing here changes a row; source: facts, section 1."""

from collections.abc import Iterable
from typing import Any, Final

from gateway.twins.cmdb.attributes import is_integer
from gateway.twins.cmdb.filters import Query, matches, project, read_query, refuse_forbidden, run, typed
from gateway.twins.cmdb.modules import Call
from gateway.twins.cmdb.refusals import Refusal
from gateway.twins.cmdb.rights import may
from gateway.twins.cmdb.store import Row, Store

MAX_IDS: Final = 500
MAX_SETS: Final = 200
MAX_LIMIT: Final = 500
# Built-in modules are stored under their Chinese names and shown to English callers under these.
ENGLISH_NAMES: Final = {1: "idle host", 2: "fault host", 3: "recycle host"}
# Scatters rows, for none of the searches promises an order that was not asked for.
SCATTER: Final = 2_654_435_761


class Reads:
    """The searches."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def modules(self, call: Call) -> dict[str, Any]:
        """Search the modules of a business: set 0, or none, is all of its sets."""
        query = self._query(call)
        where: Row = {"bk_biz_id": call.ids["bk_biz_id"]}
        set_id = call.ids.get("bk_set_id") or call.body.get("bk_set_id") or 0
        if not is_integer(set_id):
            raise Refusal(1199000)
        if set_id:
            where["bk_set_id"] = set_id
        condition = {**query.condition, **where}
        return self._modules(self._candidates(condition), _narrowed(query, condition), call)

    def modules_of_sets(self, call: Call) -> dict[str, Any]:
        """Search modules by their sets and service templates."""
        query = self._query(call)
        if not query.fields:
            raise Refusal(1199010, "fields")
        lists = {"bk_set_id": "bk_set_ids", "service_template_id": "bk_service_template_ids"}
        wanted = {name: typed(call.body, given, list) for name, given in lists.items()}
        if len(wanted["bk_set_id"] or ()) > MAX_SETS:
            raise Refusal(1199015, "bk_set_ids")
        if query.limit > MAX_LIMIT:
            raise Refusal(1199015, "page.limit")
        condition: Row = {"bk_biz_id": call.ids["bk_biz_id"]}
        condition |= {name: {"$in": ids} for name, ids in wanted.items() if ids}
        return self._modules(self._store.readable_modules().values(), _narrowed(query, condition), call)

    def modules_by_id(self, call: Call) -> list[Row]:
        """Return a bare list; ids that are not there are left out without a word."""
        rows = self._by_id(call, "bk_module_id", self._visible(self._store.readable_modules().values(), call))
        return _shown(rows, call)

    def sets_by_id(self, call: Call) -> list[Row]:
        """Return a bare list of sets."""
        return self._by_id(call, "bk_set_id", self._visible(self._store.sets.values(), call))

    def sets(self, call: Call) -> dict[str, Any]:
        """Search the sets of a business, its idle pool among them."""
        query = self._query(call)
        rows = self._visible(self._store.sets.values(), call)
        return run(rows, _narrowed(query, {**query.condition, "bk_biz_id": call.ids["bk_biz_id"]}))

    def businesses(self, call: Call) -> dict[str, Any]:
        """Search the businesses that the user may see; none is an empty list, no error."""
        rows = self._visible(self._store.businesses.values(), call)
        allowed = (row for row in rows if may(self._store.seed, call.caller.user, row["bk_biz_id"]))
        return run(allowed, self._query(call))

    def idle_pool(self, call: Call) -> Row:
        """Return the built-in set of a business with its modules."""
        where = {"bk_biz_id": call.ids["bk_biz_id"], "default": 1}
        pool = next((row for row in self._store.sets.values() if matches(row, where)), None)
        if pool is None:
            return {"bk_set_id": 0, "bk_set_name": "", "module": None}
        inside = {"bk_set_id": pool["bk_set_id"], "default": {"$ne": 0}}
        rows = (row for row in self._visible(self._store.readable_modules().values(), call) if matches(row, inside))
        fields = ("bk_module_id", "bk_module_name", "default", "host_apply_enabled")
        return {
            "bk_set_id": pool["bk_set_id"],
            "bk_set_name": pool["bk_set_name"],
            "module": _shown([project(row, fields) for row in rows], call),
        }

    def topology(self, call: Call) -> list[Row]:
        """Return business → sets → modules; the idle pool only where `with_default` asks for it."""
        business = self._store.businesses.get(call.ids["bk_biz_id"])
        if business is None:
            return []
        with_default = call.query.get("with_default") in ("1", "true")
        modules = _shown(self._visible(self._store.readable_modules().values(), call), call)
        sets = [
            _node("set", "集群", row, [_node("module", "模块", each, []) for each in modules if _in(each, row)])
            for row in self._visible(self._store.sets.values(), call)
            if row["bk_biz_id"] == business["bk_biz_id"] and (with_default or not row["default"])
        ]
        return [_node("biz", "业务", business, sets)]

    def attributes(self, call: Call) -> list[Row]:
        """Return the attributes of the module model, those of one business where it is named."""
        if call.body.get("bk_obj_id") != "module":
            return []
        biz = call.body.get("bk_biz_id") or 0
        return [
            {
                "id": number,
                "bk_obj_id": "module",
                "bk_biz_id": each.biz,
                "bk_property_id": each.name,
                "bk_property_name": each.name,
                "bk_property_type": {"name": "singlechar", "creator": "objuser"}.get(each.kind, each.kind),
                "option": [{"id": option, "name": option} for option in each.options] or "",
                "editable": each.editable,
                "isrequired": each.kind == "name",
                "bk_supplier_account": "0",
            }
            for number, each in enumerate(self._store.attributes, start=1)
            if each.biz in (0, biz)
        ]

    def _query(self, call: Call) -> Query:
        query = read_query(call.body)
        if self._store.seed.version.forbids_operators:
            refuse_forbidden(query.condition)
        return query

    def _by_id(self, call: Call, name: str, rows: Iterable[Row]) -> list[Row]:
        ids = call.body.get("bk_ids") or []
        fields = read_query(call.body).fields
        if not isinstance(ids, list) or not all(map(is_integer, ids)):
            raise Refusal(1199000)
        if not 1 <= len(ids) <= MAX_IDS:
            raise Refusal(1199089, "bk_ids")
        if not fields:
            raise Refusal(1199006, "fields")
        where = {"bk_biz_id": call.ids["bk_biz_id"], name: {"$in": ids}}
        return [project(row, fields) for row in rows if matches(row, where)]

    def _candidates(self, condition: Row) -> Iterable[Row]:
        """Return what can match, by the unique index where an exact name in one set is sought."""
        key = tuple(condition.get(name) for name in ("bk_biz_id", "bk_set_id", "bk_module_name"))
        rows = self._store.readable_modules()
        if rows is self._store.modules and isinstance(key[2], str) and is_integer(key[1]):
            found = self._store.names.get(key)
            return [] if found is None else [rows[found]]
        return rows.values()

    def _visible(self, rows: Iterable[Row], call: Call) -> list[Row]:
        """Return the rows of the caller's supplier account and of "0", in no order."""
        seen = [row for row in rows if row["bk_supplier_account"] in ("0", call.caller.account)]
        return sorted(seen, key=_scattered)

    def _modules(self, rows: Iterable[Row], query: Query, call: Call) -> dict[str, Any]:
        found = run(self._visible(rows, call), query)
        return {**found, "info": _shown(found["info"], call)}


def _narrowed(query: Query, condition: Row) -> Query:
    return Query(condition, query.fields, query.sort, query.start, query.limit)


def _shown(rows: list[Row], call: Call) -> list[Row]:
    """Translate the names of built-in modules, after the search: a search by the shown name finds nothing."""
    return [_translated(row) for row in rows] if call.caller.english else rows


def _translated(row: Row) -> Row:
    name = ENGLISH_NAMES.get(row["default"]) if is_integer(row["default"]) else None
    return {**row, "bk_module_name": name} if name and "bk_module_name" in row else row


def _scattered(row: Row) -> int:
    number = row.get("bk_module_id") or row.get("bk_set_id") or row["bk_biz_id"]
    return int(number) * SCATTER % 2**32


def _in(module: Row, parent: Row) -> bool:
    return bool(module["bk_set_id"] == parent["bk_set_id"])


def _node(kind: str, label: str, row: Row, children: list[Row]) -> Row:
    return {
        "bk_obj_id": kind,
        "bk_obj_name": label,
        "bk_inst_id": row[f"bk_{kind}_id"],
        "bk_inst_name": row[f"bk_{kind}_name"],
        "default": row["default"],
        "child": children,
    }
