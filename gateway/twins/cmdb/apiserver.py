"""CMDB itself behind both ways in: finds the operation, checks the right, answers in the raw envelope.

Source: facts, sections 0, 1(b), 3 and 4.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from gateway.twins.cmdb.modules import Call, Modules
from gateway.twins.cmdb.reads import Reads
from gateway.twins.cmdb.refusals import Refusal
from gateway.twins.cmdb.rights import denial, may
from gateway.twins.cmdb.store import Caller, Store

MAX_ID: Final = 2**63 - 1
DIGITS: Final = re.compile("[0-9]{1,19}")


@dataclass(frozen=True)
class Operation:
    """One resource of the API: its documented name, its path, and the right that a write takes."""

    name: str
    method: str
    path: str
    action: str = ""
    decodes: bool = True  # whether the body is read at all

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the parameters in the path, or None where this is another resource."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path) if method == self.method else None
        return found.groupdict() if found else None


Found = tuple[Operation, dict[str, str]]
MODULE: Final = "/module/{bk_biz_id}/{bk_set_id}"
OPERATIONS: Final = (
    Operation("create_module", "POST", MODULE, "create_biz_topology"),
    Operation("update_module", "PUT", MODULE + "/{bk_module_id}", "edit_biz_topology"),
    Operation("delete_module", "DELETE", MODULE + "/{bk_module_id}", "delete_biz_topology", decodes=False),
    Operation("search_module", "POST", "/module/search/{account}/{bk_biz_id}/{bk_set_id}"),
    Operation("search_module", "POST", "/findmany/module/biz/{bk_biz_id}"),
    Operation("find_module_batch", "POST", "/findmany/module/bk_biz_id/{bk_biz_id}"),
    Operation("find_module_with_relation", "POST", "/findmany/module/with_relation/biz/{bk_biz_id}"),
    Operation("search_set", "POST", "/set/search/{account}/{bk_biz_id}"),
    Operation("find_set_batch", "POST", "/findmany/set/bk_biz_id/{bk_biz_id}"),
    Operation("search_business", "POST", "/biz/search/{account}"),
    Operation("get_biz_internal_module", "GET", "/topo/internal/{account}/{bk_biz_id}", decodes=False),
    Operation("search_biz_inst_topo", "POST", "/find/topoinst/biz/{bk_biz_id}", decodes=False),
    Operation("search_object_attribute", "POST", "/find/objectattr"),
)


@dataclass(frozen=True)
class Request:
    """What reaches the apiserver; the path begins after `/api/v3`."""

    method: str
    path: str
    body: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """A raw answer; `own` marks those the apiserver writes itself, which keep their keys everywhere."""

    body: Mapping[str, Any] | str
    own: bool = False
    status: int = HTTPStatus.OK


class Apiserver:
    """One CMDB."""

    def __init__(self, store: Store) -> None:
        self._store = store
        modules, reads = Modules(store), Reads(store)
        self._handlers: dict[str, Callable[[Call], Any]] = {
            "create_module": modules.create,
            "update_module": modules.update,
            "delete_module": modules.delete,
            "search_module": reads.modules,
            "find_module_batch": reads.modules_by_id,
            "find_module_with_relation": reads.modules_of_sets,
            "search_set": reads.sets,
            "find_set_batch": reads.sets_by_id,
            "search_business": reads.businesses,
            "get_biz_internal_module": reads.idle_pool,
            "search_biz_inst_topo": reads.topology,
            "search_object_attribute": reads.attributes,
        }

    def answer(self, caller: Caller, request: Request) -> Reply:
        """Answer in the order of the facts: user, URL, right, JSON, ids, rules."""
        english = caller.english
        if not caller.user:
            return Reply(envelope(1199998, "user is not set"), own=True)
        found = find(request.method, request.path)
        if found is None and not self._store.seed.iam:
            return Reply("404: Page Not Found")
        try:
            operation, parameters = self._authorized(caller, found)
        except Refusal as refusal:
            body = envelope(refusal.code, refusal.text(english=english))
            del body["data"], body["permission"]
            return Reply(body | ({"permission": refusal.permission} if refusal.permission else {}), own=True)
        try:
            body = _decode(request.body) if operation.decodes else {}
            ids = _ids(parameters, iam=self._store.seed.iam)
            data = self._perform(operation, Call(caller, ids, body, request.query))
        except Refusal as refusal:
            return Reply(envelope(refusal.code, refusal.text(english=english)))
        return Reply(envelope(0, "success", data))

    def _perform(self, operation: Operation, call: Call) -> Any:
        """Run the handler: a write takes the lock for its own transaction, a read for all of its time."""
        handler = self._handlers[operation.name]
        if operation.action:
            return handler(call)
        with self._store.reading():
            return handler(call)

    def _authorized(self, caller: Caller, found: Found | None) -> Found:
        """Return what was found, unless the URL fits no rule or the user lacks the right."""
        if found is None:
            raise Refusal(1199045, "no matched rules")
        operation, parameters = found
        if not self._store.seed.iam:
            return found
        ids = _ids(parameters, iam=True)
        biz = ids.get("bk_biz_id", 0)
        if operation.action and not may(self._store.seed, caller.user, biz):
            name = self._store.businesses.get(biz, {}).get("bk_biz_name", "")
            raise denial(operation.action, biz, name)
        return found


def find(method: str, path: str) -> Found | None:
    """Return the operation behind a path, with the parameters in it."""
    for operation in OPERATIONS:
        parameters = operation.match(method, path)
        if parameters is not None:
            return operation, parameters
    return None


def envelope(code: int, message: str, data: object = None) -> dict[str, Any]:
    """Return the raw body; code 0 is success."""
    return {"result": not code, "bk_error_code": code, "bk_error_msg": message, "permission": None, "data": data}


def _ids(parameters: Mapping[str, str], *, iam: bool) -> dict[str, int]:
    """Read the ids in a path: a bad one is an unmatched URL to the rights check, a parameter error without it."""
    ids = {name: value for name, value in parameters.items() if name != "account"}
    for name, value in ids.items():
        if not DIGITS.fullmatch(value) or int(value) > MAX_ID:
            raise Refusal(1199045, "no matched rules") if iam else Refusal(1199009, name)
    return {name: int(value) for name, value in ids.items()}


def _decode(content: bytes) -> dict[str, Any]:
    """Decode a body; anything but an object does not deserialize."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal(1199000)
    return body
