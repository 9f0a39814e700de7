"""Attributes that would hide a module, make it built-in or move it are never sent, for any draft or patch."""

from __future__ import annotations

import json
from typing import Any, Final, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backends.cmdb.adapter import CmdbBackend
from gateway.domain.backend import CallContext
from gateway.domain.module import ModuleDraft, ModulePatch
from gateway.transport import UpstreamRequest, UpstreamResponse
from tests.conftest import VirtualClock
from tests.unit.backends.connections import CMDB_MODULE, cmdb_options, envelope, search_response

#: documented: cmdb.md §2, "never send", "never forward", and the attributes that only the server writes
RESERVED: Final = {
    *("default", "bk_supplier_account", "set_template_id", "create_time", "last_time", "bk_data_status"),
    *("bk_created_by", "bk_created_at", "bk_updated_by", "bk_updated_at", "bk_biz_id", "bk_set_id", "bk_module_id"),
}


class Recorder:
    """A transport that records requests and returns a success."""

    state = "reachable"

    def __init__(self) -> None:
        self.requests: list[UpstreamRequest] = []

    def send(self, request: UpstreamRequest, _: CallContext) -> UpstreamResponse:
        self.requests.append(request)
        body = search_response(CMDB_MODULE) if "search" in request.url else envelope({**CMDB_MODULE, "name": "test"})
        return UpstreamResponse(200, {}, body, request.is_write)

    @property
    def written(self) -> dict[str, Any]:
        """The attributes in the only write."""
        (write,) = (request for request in self.requests if request.is_write)
        body: dict[str, Any] = json.loads(write.body or b"null")
        return body["data"] if "/compapi/" in write.url else body


def create(route: Any) -> tuple[CmdbBackend, Recorder]:
    recorder = Recorder()
    return CmdbBackend("cmdb", cmdb_options("http://cmdb", route), cast("Any", recorder), VirtualClock()), recorder


RULES: Final = create("esb")[0].capabilities
NAMES: Final = st.sampled_from([*RESERVED, *(field.name for field in RULES.attributes), "bk_parent_id", "another"])
VALUES: Final = st.one_of(st.integers(-1, 9), st.booleans(), st.sampled_from(["1", "admin", "", "a b"]), st.none())
ATTRIBUTES: Final = st.dictionaries(NAMES, VALUES, max_size=6)
USERS: Final = st.one_of(st.none(), st.lists(st.from_regex(r"[a-z][a-z0-9._-]{0,8}", fullmatch=True), max_size=3))
ROUTES: Final = st.sampled_from(["esb", "apigw"])


def accepted(attributes: dict[str, Any], use: Any) -> dict[str, Any]:
    """Return the values that the capabilities accept."""
    return {
        name: value
        for name, value in attributes.items()
        if value is not None
        and not RULES.validate({"scope": "1", "parent": "1", "name": "a", "attributes": {name: value}}, use)
    }


@settings(deadline=None)
@given(route=ROUTES, parent=st.integers(1, 2**63 - 1), attributes=ATTRIBUTES, owners=USERS)
def test_a_create_sends_no_reserved_attribute(
    route: str, parent: int, attributes: dict[str, Any], owners: list[str] | None
) -> None:
    """bk_parent_id is the set of the path, as an integer; no reserved attribute is in the body."""
    backend, recorder = create(route)
    draft = ModuleDraft(
        scope="1",
        parent=str(parent),
        name="test",
        owners=None if owners is None else tuple(owners),
        attributes=accepted(attributes, "create"),
    )
    backend.create(draft, CallContext("r", 1e12))
    written = recorder.written
    assert written.keys().isdisjoint(RESERVED)
    assert written["bk_parent_id"] == parent
    assert written.keys() <= {"bk_parent_id", "bk_module_name", "operator", *draft.attributes}
    request = recorder.requests[-1]
    set_id = json.loads(request.body or b"{}").get("bk_set_id") or int(request.url.rpartition("/")[2])
    assert set_id == parent


@settings(deadline=None)
@given(route=ROUTES, attributes=ATTRIBUTES, owners=USERS)
def test_an_update_sends_no_reserved_attribute(
    route: str, attributes: dict[str, Any], owners: list[str] | None
) -> None:
    """No reserved attribute is in the body: CMDB would store its value unchecked."""
    backend, recorder = create(route)
    patch = ModulePatch(
        name="new", owners=None if owners is None else tuple(owners), attributes=accepted(attributes, "update")
    )
    backend.update("1.10.37825", patch, CallContext("r", 1e12))
    assert recorder.written.keys().isdisjoint({*RESERVED, "bk_parent_id", "service_template_id"})
