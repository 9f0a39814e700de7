"""Creates, updates and deletes modules by CMDB's rules, in CMDB's order; source: facts, sections 2 and 3."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.twins.cmdb.attributes import check, is_integer
from gateway.twins.cmdb.refusals import Refusal
from gateway.twins.cmdb.store import Caller, Change, Row, Store, natural_key

# Modules an administrator made (0) or defined as idle (4) may be touched, the others are CMDB's own.
UNPROTECTED: Final = (0, 4)
# An update writes these as they come: no check, no removal.
RAW: Final = ("default", "bk_supplier_account", "bk_data_status")


@dataclass(frozen=True)
class Call:
    """One request as the handlers see it: the ids of the path, the decoded body."""

    caller: Caller
    ids: Mapping[str, int] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


class Modules:
    """The three writes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, call: Call) -> Row | None:
        """Return the whole new document."""
        return self._store.write(call.caller, lambda: self._creation(call))

    def update(self, call: Call) -> None:
        """Replace only what was sent; an empty body still moves `last_time`."""
        self._store.write(call.caller, lambda: self._replacement(call))

    def delete(self, call: Call) -> None:
        """Succeed without a trace where there is no such module."""
        self._store.write(call.caller, lambda: self._removal(call))

    def _creation(self, call: Call) -> Change:
        biz, set_id = call.ids["bk_biz_id"], call.ids["bk_set_id"]
        if self._untemplated_set(call)["bk_biz_id"] != biz:
            raise Refusal(1199011, "bk_biz_id/bk_set_id")
        if "default" in call.body:
            raise Refusal(1199999)  # a type assertion on a JSON number panics
        body = {**call.body, **self._service(call), "host_apply_enabled": False}
        if "bk_parent_id" in body and not (is_integer(body["bk_parent_id"]) and body["bk_parent_id"] == set_id):
            raise Refusal(1199006, "bk_parent_id")
        if "bk_parent_id" not in body:
            raise Refusal(1199011, "bk_parent_id")
        if "bk_module_name" not in body:
            raise Refusal(1199010, "bk_module_name")
        row = self._store.blank(biz, set_id) | self._checked(call, body, every=True)
        for unchecked in ("service_template_id", "set_template_id"):
            row[unchecked] = body.get(unchecked, 0)
        now = self._store.now()
        row |= dict.fromkeys(("create_time", "last_time", "bk_created_at", "bk_updated_at"), now)
        row |= {"bk_created_by": call.caller.user, "bk_supplier_account": call.caller.account}
        self._refuse_duplicate(row)
        return Change("create_module", row | {"bk_module_id": self._store.new_id()})

    def _replacement(self, call: Call) -> Change:
        row = self._find(call)
        if row is None:
            raise Refusal(1199019)
        self._refuse_protected(row)
        body = dict(call.body)
        self._refuse_template_fields(row, body)
        raw = {name: body[name] for name in RAW if name in body}
        now = self._store.now()
        stamps = {"last_time": now, "bk_updated_at": now, "bk_updated_by": call.caller.user}
        changed = row | self._checked(call, body, every=False) | raw | stamps
        self._refuse_duplicate(changed)
        return Change("update_module", changed)

    def _removal(self, call: Call) -> Change | None:
        self._untemplated_set(call)
        row = self._find(call)
        if row is None:
            return None
        self._refuse_protected(row)
        if self._store.hosts.get(row["bk_module_id"]):
            raise Refusal(1101030)
        if row.get("bk_module_id") in self._store.associated:
            raise Refusal(1101075)
        return Change("delete_module", row, deleted=True)

    def _untemplated_set(self, call: Call) -> Row:
        found = self._store.sets.get(call.ids["bk_set_id"])
        if found is None or found["bk_supplier_account"] not in ("0", call.caller.account):
            raise Refusal(1199011, "bk_set_id")
        if found["set_template_id"]:
            raise Refusal(1101097)
        return found

    def _find(self, call: Call) -> Row | None:
        """Return the module where business, set and supplier account all fit; writes match the account exactly."""
        row = self._store.modules.get(call.ids["bk_module_id"])
        wanted = {**call.ids, "bk_supplier_account": call.caller.account}
        return row if row and wanted.items() <= {name: row[name] for name in wanted}.items() else None

    def _refuse_protected(self, row: Row) -> None:
        if row["default"] not in UNPROTECTED:
            raise Refusal(1101098)

    def _refuse_duplicate(self, row: Row) -> None:
        if self._store.names.get(natural_key(row)) not in (None, row.get("bk_module_id")):
            name = row["bk_module_name"]
            fields = f' bk_biz_id: {row["bk_biz_id"]}, bk_set_id: {row["bk_set_id"]}, bk_module_name: "{name}" '
            raise Refusal(self._store.seed.version.duplicate, fields)

    def _service(self, call: Call) -> Row:
        """Settle category and template, and with a template the name, which is the template's."""
        for name in ("service_category_id", "service_template_id"):
            if name in call.body and not is_integer(call.body[name]):
                raise Refusal(1199006, name)
        biz = call.ids["bk_biz_id"]
        category = call.body.get("service_category_id", 0)
        template_id = call.body.get("service_template_id", 0)
        if not template_id:
            return {"service_category_id": self._category(category, biz)}
        found = [each for each in self._store.seed.service_templates if each["id"] == template_id]
        if not found or found[0]["bk_biz_id"] != biz:
            raise Refusal(1199006, "service_template_id")
        template = found[0]
        if "service_category_id" in call.body and category != template["service_category_id"]:
            raise Refusal(1108036)
        own = {"service_category_id": template["service_category_id"], "bk_module_name": template["name"]}
        return {**template.get("fixed", {}), **own}

    def _category(self, wanted: int, biz: int) -> int:
        for each in self._store.seed.service_categories:
            if each["id"] == wanted or (not wanted and each.get("default")):
                if each["bk_biz_id"] not in (0, biz):
                    raise Refusal(1199006, "service_category_id")
                return int(each["id"])
        raise Refusal(1199019)

    def _refuse_template_fields(self, row: Row, body: Row) -> None:
        """Refuse what a template holds; an empty name for a template's module is taken for none."""
        for name in ("set_template_id", "service_template_id"):
            if name in body and not is_integer(body[name]):
                raise Refusal(1199006, name)
            if body.get(name, row[name]) != row[name]:
                raise Refusal(1199083, name)
        if not row["service_template_id"]:
            return
        if body.get("service_category_id", row["service_category_id"]) != row["service_category_id"]:
            raise Refusal(1101090)
        if not body.get("bk_module_name", row["bk_module_name"]):
            del body["bk_module_name"]
        if body.get("bk_module_name", row["bk_module_name"]) != row["bk_module_name"]:
            raise Refusal(1101091)
        fixed = self._store.fixed_by(row["service_template_id"])
        if broken := [name for name, value in fixed.items() if body.get(name, value) != value]:
            raise Refusal(1199083, ",".join(broken))

    def _checked(self, call: Call, body: Mapping[str, Any], *, every: bool) -> Row:
        """Keep what the model knows (all of it, or the editable) and found valid; the rest is dropped in silence."""
        biz = call.ids["bk_biz_id"]
        known = [each for each in self._store.attributes if each.biz in (0, biz) and (every or each.editable)]
        version = self._store.seed.version
        return {each.name: check(each, body[each.name], version) for each in known if each.name in body}
