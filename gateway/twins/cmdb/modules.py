"""Create, update and delete of modules, with CMDB's checks in CMDB's order; source: facts, sections 2, 3 and 9."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.twins.cmdb.attributes import is_integer, validate
from gateway.twins.cmdb.errors import CmdbError
from gateway.twins.cmdb.store import PreparedWrite, RequestInfo, Row, Store, natural_key

# Values of `default` whose modules can be changed: ordinary (0) and idle modules of an administrator (4).
EDITABLE_DEFAULTS: Final = (0, 4)
# An update stores these fields without validation.
UNVALIDATED_FIELDS: Final = ("default", "bk_supplier_account", "bk_data_status")


@dataclass(frozen=True)
class OperationCall:
    """The arguments of an operation: the ids of the path, the query and the decoded body."""

    info: RequestInfo
    ids: Mapping[str, int] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


class Modules:
    """The operations that write modules."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, call: OperationCall) -> Row | None:
        """Create a module and return the whole row."""
        return self._store.write(call.info, lambda: self._prepare_create(call))

    def update(self, call: OperationCall) -> None:
        """Replace the attributes in the body; an empty body still changes `last_time`."""
        self._store.write(call.info, lambda: self._prepare_update(call))

    def delete(self, call: OperationCall) -> None:
        """Delete a module; an unknown module is not an error."""
        self._store.write(call.info, lambda: self._prepare_delete(call))

    def _prepare_create(self, call: OperationCall) -> PreparedWrite | None:
        biz, set_id = call.ids["bk_biz_id"], call.ids["bk_set_id"]
        if self._require_plain_set(call)["bk_biz_id"] != biz:
            raise CmdbError(1199011, "bk_biz_id/bk_set_id")
        if "default" in call.body:
            raise CmdbError(1199999)  # CMDB crashes on `default` and answers 1199999, internal error
        if "bk_module_name" not in call.body and self._store.seed.version.accepts_missing_name:
            return None  # 3.9 answers success without data
        body = {**call.body, **self._service_fields(call), "host_apply_enabled": False}
        if "bk_parent_id" not in body:
            raise CmdbError(1199011, "bk_parent_id")
        if not is_integer(body["bk_parent_id"]) or body["bk_parent_id"] != set_id:
            raise CmdbError(1199006, "bk_parent_id")
        if "bk_module_name" not in body:
            raise CmdbError(1199010, "bk_module_name")
        row = self._store.new_row(biz, set_id) | self._validate_attributes(call, body, editable_only=False)
        for name in ("service_template_id", "set_template_id"):
            row[name] = body.get(name, 0)  # stored without validation, as CMDB does
        now = self._store.clock()
        row |= dict.fromkeys(("create_time", "last_time", "bk_created_at", "bk_updated_at"), now)
        row |= {"bk_created_by": call.info.user, "bk_supplier_account": call.info.account}
        self._check_unique(row, body["bk_module_name"])
        return PreparedWrite("create_module", row | {"bk_module_id": self._store.new_id()})

    def _prepare_update(self, call: OperationCall) -> PreparedWrite:
        row = self._find(call)
        if row is None:
            raise CmdbError(1199019)
        body = dict(call.body)
        if self._store.seed.version.keeps_built_in_names and row["default"] not in EDITABLE_DEFAULTS:
            body.pop("bk_module_name", None)  # success, and the name stays
        else:
            self._check_editable(row)
        self._check_template_fields(row, body)
        unvalidated = {name: body[name] for name in UNVALIDATED_FIELDS if name in body}
        now = self._store.clock()
        update_fields = {"last_time": now, "bk_updated_at": now, "bk_updated_by": call.info.user}
        updated = row | self._validate_attributes(call, body, editable_only=True) | unvalidated | update_fields
        self._check_unique(updated, updated["bk_module_name"])
        return PreparedWrite("update_module", updated)

    def _prepare_delete(self, call: OperationCall) -> PreparedWrite | None:
        self._require_plain_set(call)
        row = self._find(call)
        if row is None:
            return None
        self._check_editable(row)
        if self._store.hosts.get(row["bk_module_id"]):
            raise CmdbError(1101030)
        if row.get("bk_module_id") in self._store.associated:
            raise CmdbError(1101075)
        return PreparedWrite("delete_module", row, deleted=True)

    def _require_plain_set(self, call: OperationCall) -> Row:
        """Return the set of the path, which must not come from a set template."""
        row = self._store.sets.get(call.ids["bk_set_id"])
        if row is None or row["bk_supplier_account"] not in ("0", call.info.account):
            raise CmdbError(self._store.seed.version.missing_set, "bk_set_id")
        if row["set_template_id"]:
            raise CmdbError(1101097)
        return row

    def _find(self, call: OperationCall) -> Row | None:
        """Return the module with the ids of the path and exactly the supplier account of the request."""
        row = self._store.modules.get(call.ids["bk_module_id"])
        expected = {**call.ids, "bk_supplier_account": call.info.account}
        if row is None or any(row[name] != value for name, value in expected.items()):
            return None
        return row

    def _check_editable(self, row: Row) -> None:
        if row["default"] not in EDITABLE_DEFAULTS:
            raise CmdbError(1101098)

    def _check_unique(self, row: Row, sent_name: str) -> None:
        if self._store.ids_by_natural_key.get(natural_key(row)) not in (None, row.get("bk_module_id")):
            name = row["bk_module_name"]
            if self._store.seed.version.names_duplicate_fields and name != sent_name:
                raise CmdbError(1199014, "business id,set id,module name")
            fields = f' bk_biz_id: {row["bk_biz_id"]}, bk_set_id: {row["bk_set_id"]}, bk_module_name: "{name}" '
            raise CmdbError(self._store.seed.version.duplicate, fields)
        for name in (attribute.name for attribute in self._store.attributes if attribute.unique):
            others = (other for key, other in self._store.modules.items() if key != row.get("bk_module_id"))
            if row.get(name) and any(other.get(name) == row[name] for other in others):
                raise CmdbError(1199014, f" {name}: {json.dumps(row[name], ensure_ascii=False)} ")

    def _service_fields(self, call: OperationCall) -> Row:
        """Return the service category and, with a service template, the name and attributes of the template."""
        for name in ("service_category_id", "service_template_id"):
            if name in call.body and not is_integer(call.body[name]):
                raise CmdbError(1199006, name)
        biz = call.ids["bk_biz_id"]
        category_id = call.body.get("service_category_id", 0)
        template_id = call.body.get("service_template_id", 0)
        if not template_id:
            return {"service_category_id": self._find_category_id(category_id, biz)}
        templates = {template["id"]: template for template in self._store.seed.service_templates}
        template = templates.get(template_id)
        if template is None or template["bk_biz_id"] != biz:
            raise CmdbError(1199006, "service_template_id")
        if "service_category_id" in call.body and category_id != template["service_category_id"]:
            raise CmdbError(1108036)
        return {
            **template.get("fixed", {}),
            "service_category_id": template["service_category_id"],
            "bk_module_name": template["name"],
        }

    def _find_category_id(self, category_id: int, biz: int) -> int:
        """Return the id of a category of the business, the default one for 0."""
        for category in self._store.seed.service_categories:
            if category["id"] == category_id or (not category_id and category.get("default")):
                if category["bk_biz_id"] not in (0, biz):
                    raise CmdbError(1199006, "service_category_id")
                return int(category["id"])
        raise CmdbError(1199019)

    def _check_template_fields(self, row: Row, body: Row) -> None:
        """Raise CmdbError for a change of what a template fixes; an empty name is no change and removed from `body`."""
        for name in ("set_template_id", "service_template_id"):
            if name in body and not is_integer(body[name]):
                raise CmdbError(1199006, name)
            if body.get(name, row[name]) != row[name]:
                raise CmdbError(1199083, name)
        if not row["service_template_id"]:
            return
        if body.get("service_category_id", row["service_category_id"]) != row["service_category_id"]:
            raise CmdbError(1101090)
        if not body.get("bk_module_name", row["bk_module_name"]):
            del body["bk_module_name"]
        if body.get("bk_module_name", row["bk_module_name"]) != row["bk_module_name"]:
            raise CmdbError(1101091)
        fixed = self._store.template_attributes(row["service_template_id"])
        if changed := [name for name, value in fixed.items() if body.get(name, value) != value]:
            raise CmdbError(1199083, ",".join(changed))

    def _validate_attributes(self, call: OperationCall, body: Mapping[str, Any], *, editable_only: bool) -> Row:
        """Return the valid attributes of the body; attributes that the model does not have are dropped."""
        version = self._store.seed.version
        return {
            attribute.name: validate(attribute, body[attribute.name], version)
            for attribute in self._store.attributes
            if attribute.biz in (0, call.ids["bk_biz_id"])
            and attribute.name in body
            and (attribute.editable or not editable_only)
        }
