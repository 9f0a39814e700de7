"""CMDB behind the ESB and the API gateway: routing, permissions and the raw envelope.

Source: facts, sections 0, 1(b), 3, 4 and 9.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from gateway.twins.cmdb.errors import CmdbError, permission_error
from gateway.twins.cmdb.modules import Modules, OperationCall
from gateway.twins.cmdb.reads import Reads
from gateway.twins.cmdb.store import RequestInfo, Store

MAX_ID: Final = 2**63 - 1
SERVER_ERROR: Final = HTTPStatus.INTERNAL_SERVER_ERROR
DIGITS: Final = re.compile("[0-9]{1,19}")


@dataclass(frozen=True)
class Resource:
    """A resource of the API: its documented name, its path, and the permission that a write requires."""

    name: str
    method: str
    path: str
    action: str = ""
    has_body: bool = True  # whether CMDB reads the body


ResourceMatch = tuple[Resource, Mapping[str, str]]  # with the parameters of the path
_MODULE: Final = "/module/<bk_biz_id>/<bk_set_id>"
RESOURCES: Final = (
    Resource("create_module", "POST", _MODULE, "create_biz_topology"),
    Resource("update_module", "PUT", f"{_MODULE}/<bk_module_id>", "edit_biz_topology"),
    Resource("delete_module", "DELETE", f"{_MODULE}/<bk_module_id>", "delete_biz_topology", has_body=False),
    Resource("search_module", "POST", "/module/search/<account>/<bk_biz_id>/<bk_set_id>"),
    Resource("search_module", "POST", "/findmany/module/biz/<bk_biz_id>"),
    Resource("find_module_batch", "POST", "/findmany/module/bk_biz_id/<bk_biz_id>"),
    Resource("search_set", "POST", "/set/search/<account>/<bk_biz_id>"),
    Resource("search_business", "POST", "/biz/search/<account>"),
    Resource("get_biz_internal_module", "GET", "/topo/internal/<account>/<bk_biz_id>", has_body=False),
    Resource("search_biz_inst_topo", "POST", "/find/topoinst/biz/<bk_biz_id>", has_body=False),
    Resource("get_service_template", "GET", "/find/proc/service_template/<service_template_id>", has_body=False),
    Resource("search_object_attribute", "POST", "/find/objectattr"),
)
_ROUTES: Final = Map(
    [Rule(resource.path, methods=[resource.method], endpoint=resource) for resource in RESOURCES]
).bind("")


@dataclass(frozen=True)
class CmdbRequest:
    """A request to CMDB; the path is that after `/api/v3`."""

    method: str
    path: str
    body: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CmdbResponse:
    """A response in the raw envelope; `from_apiserver`: the API gateway does not rename its keys."""

    body: Mapping[str, Any] | str
    from_apiserver: bool = False
    status: int = HTTPStatus.OK


class Apiserver:
    """Dispatches requests to the operations."""

    def __init__(self, store: Store) -> None:
        self._store = store
        modules, reads = Modules(store), Reads(store)
        self._handlers: dict[str, Callable[[OperationCall], Any]] = {
            "create_module": modules.create,
            "update_module": modules.update,
            "delete_module": modules.delete,
            "search_module": reads.search_modules,
            "find_module_batch": reads.find_modules_by_id,
            "search_set": reads.search_sets,
            "search_business": reads.search_businesses,
            "get_biz_internal_module": reads.idle_pool,
            "search_biz_inst_topo": reads.topology,
            "search_object_attribute": reads.attributes,
            "get_service_template": reads.service_template,
        }

    def handle(self, info: RequestInfo, request: CmdbRequest) -> CmdbResponse:
        """Check user, path, permission, JSON and ids in CMDB's order; then run the operation."""
        english = info.english
        match = find_resource(request.method, request.path)
        if self._store.seed.version.refuses_with_500 and (match is None or not info.user):  # facts, section 9
            error = CmdbError(1199037, "no matched route") if info.user else CmdbError(1199027, "user")
            return CmdbResponse(
                envelope(error.code, error.text(english=english)), from_apiserver=True, status=SERVER_ERROR
            )
        if not info.user:
            return CmdbResponse(envelope(1199998, "user is not set"), from_apiserver=True)
        if match is None and not self._store.seed.iam:
            return CmdbResponse("404: Page Not Found")
        try:
            resource, parameters = self._authorize(info, match)
        except CmdbError as error:
            body = envelope(error.code, error.text(english=english))
            del body["data"], body["permission"]  # this error has no data, and a permission only if one is missing
            return CmdbResponse(
                body | ({"permission": error.permission} if error.permission else {}), from_apiserver=True
            )
        try:
            body = _parse_body(request.body) if resource.has_body else {}
            ids = _parse_ids(parameters, iam_enabled=self._store.seed.iam)
            data = self._run(resource, OperationCall(info, ids, body, request.query))
        except CmdbError as error:
            return CmdbResponse(envelope(error.code, error.text(english=english)))
        return CmdbResponse(envelope(0, "success", data))

    def _run(self, resource: Resource, call: OperationCall) -> Any:
        """Run the operation: a write locks the store for its transaction, a read for its duration."""
        handler = self._handlers[resource.name]
        if resource.action:
            return handler(call)
        with self._store.read_lock():
            return handler(call)

    def _authorize(self, info: RequestInfo, match: ResourceMatch | None) -> ResourceMatch:
        """Return the match; raises CmdbError for an unknown path or a missing permission."""
        if match is None:
            raise CmdbError(1199045, "no matched rules")
        resource, parameters = match
        seed = self._store.seed
        if not seed.iam:
            return match
        biz = _parse_ids(parameters, iam_enabled=True).get("bk_biz_id", 0)
        if resource.action and not seed.is_allowed(info.user, biz):
            name = self._store.businesses.get(biz, {}).get("bk_biz_name", "")
            raise permission_error(resource.action, biz, name)
        return match


def find_resource(method: str, path: str) -> ResourceMatch | None:
    """Return the resource of a path and the parameters in it."""
    try:
        resource, parameters = _ROUTES.match(path, method)
    except HTTPException:
        return None
    return (resource, parameters) if resource.method == method else None  # Werkzeug adds HEAD to GET


def envelope(code: int, message: str, data: object = None) -> dict[str, Any]:
    """Return the raw envelope; code 0 is success."""
    return {"result": not code, "bk_error_code": code, "bk_error_msg": message, "permission": None, "data": data}


def _parse_ids(parameters: Mapping[str, str], *, iam_enabled: bool) -> dict[str, int]:
    """Parse the ids of a path; an invalid one raises CmdbError: with IAM for an unknown path, without for the id."""
    ids = {name: value for name, value in parameters.items() if name != "account"}
    for name, value in ids.items():
        if not DIGITS.fullmatch(value) or int(value) > MAX_ID:
            raise CmdbError(1199045, "no matched rules") if iam_enabled else CmdbError(1199009, name)
    return {name: int(value) for name, value in ids.items()}


def _parse_body(content: bytes) -> dict[str, Any]:
    """Parse a body; raises CmdbError 1199000 if it is not a JSON object."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise CmdbError(1199000)
    return body
