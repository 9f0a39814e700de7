"""The operations that read businesses, sets, modules and the model; source: facts, section 1."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.twins.cmdb.attributes import is_integer
from gateway.twins.cmdb.errors import CmdbError
from gateway.twins.cmdb.filters import Query, check_operators, execute, matches, parse_query, project
from gateway.twins.cmdb.modules import OperationCall
from gateway.twins.cmdb.store import Row, Store

MAX_IDS: Final = 500
# Built-in modules are stored with Chinese names; English callers see these names, by the value of `default`.
ENGLISH_NAMES: Final = {1: "idle host", 2: "fault host", 3: "recycle host"}
# Searches return rows by id times this factor modulo 2**32, as CMDB's have no default order. With this factor, that of
# Knuth's multiplicative hash, neighbouring ids are far apart.
SHUFFLE_MULTIPLIER: Final = 2_654_435_761


class Reads:
    """The operations that read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def search_modules(self, call: OperationCall) -> dict[str, Any]:
        """Search modules of a set, or of the whole business for set 0 or none."""
        query = self._query(call)
        location: Row = {"bk_biz_id": call.ids["bk_biz_id"]}
        set_id = call.ids.get("bk_set_id") or call.body.get("bk_set_id") or 0
        if not is_integer(set_id):
            raise CmdbError(1199000)
        if set_id:
            location["bk_set_id"] = set_id
        query = _add_condition(query, location)
        page = execute(self._visible(self._candidates(query.condition), call), query)
        return {**page, "info": _translate_names(page["info"], call)}

    def find_modules_by_id(self, call: OperationCall) -> list[Row]:
        """Return the modules of a business by `bk_ids`; unknown ids are left out."""
        ids = call.body.get("bk_ids") or []
        fields = parse_query(call.body).fields
        if not isinstance(ids, list) or not all(map(is_integer, ids)):
            raise CmdbError(1199000)
        if not 1 <= len(ids) <= MAX_IDS:
            raise CmdbError(1199089, "bk_ids")
        if not fields:
            raise CmdbError(1199006, "fields")
        condition = {"bk_biz_id": call.ids["bk_biz_id"], "bk_module_id": {"$in": ids}}
        rows = self._visible(self._store.readable_modules().values(), call)
        return _translate_names([project(row, fields) for row in rows if matches(row, condition)], call)

    def search_sets(self, call: OperationCall) -> dict[str, Any]:
        """Search the sets of a business, the idle pool included."""
        query = _add_condition(self._query(call), {"bk_biz_id": call.ids["bk_biz_id"]})
        return execute(self._visible(self._store.sets.values(), call), query)

    def search_businesses(self, call: OperationCall) -> dict[str, Any]:
        """Search the businesses that the user has access to; an empty result is not an error.

        Archived businesses are left out unless the condition names their status, the resource pool always. Text is
        found in any case and anywhere in a value. A condition on ids with other operators than $eq and $in is ignored
        for users who do not have access to all businesses (SearchBusiness in topo_server/service/inst_business.go).
        """
        query = self._query(call)
        businesses = self._visible(self._store.businesses.values(), call)
        allowed = [row for row in businesses if self._store.seed.is_allowed(call.info.user, row["bk_biz_id"])]
        condition = {"bk_data_status": {"$ne": "disabled"}, **query.condition, "default": 0}
        ids = condition.get("bk_biz_id")
        if len(allowed) < len(businesses) and isinstance(ids, dict) and ids.keys().isdisjoint({"$eq", "$in"}):
            del condition["bk_biz_id"]
        for name, value in condition.items():
            if isinstance(value, str):
                condition[name] = {"$regex": f"(?i){re.escape(value)}"}
        return execute(allowed, replace(query, condition=condition))

    def idle_pool(self, call: OperationCall) -> Row:
        """Return the built-in set of a business with its modules."""
        condition: Row = {"bk_biz_id": call.ids["bk_biz_id"], "default": 1}
        pool = next((row for row in self._store.sets.values() if matches(row, condition)), None)
        if pool is None:
            return {"bk_set_id": 0, "bk_set_name": "", "module": None}
        condition = {"bk_set_id": pool["bk_set_id"], "default": {"$ne": 0}}
        modules = self._visible(self._store.readable_modules().values(), call)
        fields = ("bk_module_id", "bk_module_name", "default", "host_apply_enabled")
        return {
            "bk_set_id": pool["bk_set_id"],
            "bk_set_name": pool["bk_set_name"],
            "module": _translate_names([project(row, fields) for row in modules if matches(row, condition)], call),
        }

    def topology(self, call: OperationCall) -> list[Row]:
        """Return the tree of business, sets and modules; the idle pool only if the query has `with_default`."""
        business = self._store.businesses.get(call.ids["bk_biz_id"])
        if business is None:
            return []
        with_default = call.query.get("with_default") in ("1", "true")
        modules = _translate_names(self._visible(self._store.readable_modules().values(), call), call)
        sets = [
            _topology_node(
                "set",
                "集群",
                row,
                [
                    _topology_node("module", "模块", module, [])
                    for module in modules
                    if module["bk_set_id"] == row["bk_set_id"]
                ],
            )
            for row in self._visible(self._store.sets.values(), call)
            if row["bk_biz_id"] == business["bk_biz_id"] and (with_default or not row["default"])
        ]
        return [_topology_node("biz", "业务", business, sets)]

    def attributes(self, call: OperationCall) -> list[Row]:
        """Return the attributes of the module model: the global ones, and those of the business if it is given."""
        if call.body.get("bk_obj_id") != "module":
            return []
        biz = call.body.get("bk_biz_id") or 0
        type_by_kind = {"name": "singlechar", "creator": "objuser"}  # other kinds are named after CMDB's types
        return [
            {
                "id": number,
                "bk_obj_id": "module",
                "bk_biz_id": attribute.biz,
                "bk_property_id": attribute.name,
                "bk_property_name": attribute.name,
                "bk_property_type": type_by_kind.get(attribute.kind, attribute.kind),
                "option": [{"id": option, "name": option} for option in attribute.options] or "",
                "editable": attribute.editable,
                "isrequired": attribute.kind == "name",
                "bk_supplier_account": "0",
            }
            for number, attribute in enumerate(self._store.attributes, start=1)
            if attribute.biz in (0, biz)
        ]

    def service_template(self, call: OperationCall) -> Row:
        """Return a service template by its id (docs/apidoc, get_service_template; core/process/service_template.go)."""
        for template in self._store.seed.service_templates:
            if template["id"] == call.ids["service_template_id"]:
                return project(template, ("id", "bk_biz_id", "name", "service_category_id"))
        raise CmdbError(1199019)

    def _query(self, call: OperationCall) -> Query:
        """Return the query in a body; raises CmdbError if it is malformed or contains a forbidden operator."""
        query = parse_query(call.body)
        if self._store.seed.version.forbids_operators:
            check_operators(query.condition)
        return query

    def _candidates(self, condition: Mapping[str, Any]) -> Iterable[Row]:
        """Return the rows that can match: for an exact name in one set the row in the unique index, or else all rows.

        The index contains writes that a read lag hides, so that it is not used during one.
        """
        key = tuple(condition.get(name) for name in ("bk_biz_id", "bk_set_id", "bk_module_name"))
        _, set_id, module_name = key
        rows = self._store.readable_modules()
        if rows is self._store.modules and is_integer(set_id) and isinstance(module_name, str):
            module_id = self._store.ids_by_natural_key.get(key)
            return [] if module_id is None else [rows[module_id]]
        return rows.values()

    def _visible(self, rows: Iterable[Row], call: OperationCall) -> list[Row]:
        """Return the rows of the request's supplier account and of account "0", shuffled."""
        visible = [row for row in rows if row["bk_supplier_account"] in ("0", call.info.account)]
        return sorted(visible, key=_shuffle_key)


def _add_condition(query: Query, condition: Row) -> Query:
    """Return the query with values that rows must have, whatever its own condition demands of these fields."""
    return replace(query, condition={**query.condition, **condition})


def _translate_names(rows: list[Row], call: OperationCall) -> list[Row]:
    """Translate the names of built-in modules in results; searches compare the stored names."""
    return [_translate_name(row) for row in rows] if call.info.english else rows


def _translate_name(row: Row) -> Row:
    name = ENGLISH_NAMES.get(row["default"]) if is_integer(row["default"]) else None
    return {**row, "bk_module_name": name} if name and "bk_module_name" in row else row


def _shuffle_key(row: Row) -> int:
    number = row.get("bk_module_id") or row.get("bk_set_id") or row["bk_biz_id"]
    return int(number) * SHUFFLE_MULTIPLIER % 2**32


def _topology_node(kind: str, label: str, row: Row, children: list[Row]) -> Row:
    """Return a node of the topology; `kind` is biz, set or module, as in the names of the row's fields."""
    return {
        "bk_obj_id": kind,
        "bk_obj_name": label,
        "bk_inst_id": row[f"bk_{kind}_id"],
        "bk_inst_name": row[f"bk_{kind}_name"],
        "default": row["default"],
        "child": children,
    }
