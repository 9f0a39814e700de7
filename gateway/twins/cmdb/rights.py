"""Who may change the topology of which business, and what a refusal tells him; source: facts, section 4."""

from typing import Any, Final

from gateway.twins.cmdb.refusals import Refusal
from gateway.twins.cmdb.seed import Seed

# Always Chinese, whatever the language of the caller.
ACTIONS: Final = {
    "create_biz_topology": "业务拓扑新建",
    "edit_biz_topology": "业务拓扑编辑",
    "delete_biz_topology": "业务拓扑删除",
}
SYSTEM: Final = {"system_id": "bk_cmdb", "system_name": "配置平台"}


def may(seed: Seed, user: str, biz: int) -> bool:
    """Tell whether the user has the business: `denied` takes one away, `allowed` leaves only those it lists."""
    rights = seed.users.get(user, {})
    return not seed.iam or (biz not in rights.get("denied", ()) and biz in rights.get("allowed", (biz,)))


def permission(action: str, biz: int, name: str) -> dict[str, Any]:
    """Describe the right that is missing, in the form in which it can be applied for; ids are strings."""
    business = {"type": "biz", "type_name": "业务", "id": str(biz), "name": name}
    related = {**SYSTEM, "type": "biz", "type_name": "业务", "instances": [[business]]}
    return {**SYSTEM, "actions": [{"id": action, "name": ACTIONS[action], "related_resource_types": [related]}]}


def denial(action: str, biz: int, name: str) -> Refusal:
    """Return the refusal of a write to a business; `name` is empty where there is no such business."""
    return Refusal(9900403, permission=permission(action, biz, name))
