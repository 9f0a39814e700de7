"""Creates of other callers, users and credentials: none gets another's operation, request id or result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import CreateInProgress, ModuleAlreadyExists
from gateway.domain.journal import Journal
from gateway.domain.operation import Operation, State
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.provisioner import Provisioner
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend

#: The members of a request and of its call in which another requester differs.
OTHERS = pytest.mark.parametrize(
    "other",
    [
        pytest.param({"caller": "another"}, id="caller"),
        pytest.param({"user": "tom"}, id="user"),
        pytest.param({"credential": "another"}, id="credential"),
    ],
)
Entry = Callable[[Provisioner], Callable[..., Any]]
#: Both ways in which a create is requested: wait for its result, or `Prefer: respond-async`.
ENTRIES = pytest.mark.parametrize(
    "entry", [lambda provisioner: provisioner.create, lambda provisioner: provisioner.start], ids=["create", "start"]
)


@pytest.fixture
def create_request(request: pytest.FixtureRequest, create_request: CreateRequest) -> CreateRequest:
    """The create of both requesters; a test may set `if_exists`."""
    return replace(create_request, if_exists=getattr(request, "param", "error"))


@dataclass
class Waiting:
    """A create, op-1, that waits in another process until `send` is called; any sleep on the clock calls it."""

    provisioner: Provisioner
    cmdb: FakeBackend
    create_request: CreateRequest
    clock: VirtualClock
    work: list[Callable[[], None]]

    def send(self) -> None:
        while self.work:
            self.work.pop()()

    def send_at_next_sleep(self) -> None:
        sleep = self.clock.sleep

        def send_and_sleep(seconds: float) -> None:
            self.send()
            sleep(seconds)

        self.clock.sleep = send_and_sleep  # type: ignore[method-assign]

    def request(self, other: dict[str, Any], entry: Entry, seconds: float = 2.0, **changes: Any) -> Any:
        """Request the same create with another request id; `other` are the requester's differences."""
        call_changes = {name: value for name, value in other.items() if name != "caller"}
        call = CallContext("r-2", self.clock.monotonic() + seconds, **{"credential": "own", **call_changes})
        create_request = replace(
            self.create_request, caller=other.get("caller", "c"), **{"idempotency_key": None, **changes}
        )
        return entry(self.provisioner)(self.cmdb, create_request, call)


@pytest.fixture
def waiting(provisioner: Provisioner, cmdb: FakeBackend, create_request: CreateRequest, clock: VirtualClock) -> Waiting:
    assert cmdb.capabilities.acting_user
    work: list[Callable[[], None]] = []
    spawn, clock.spawn = clock.spawn, work.append  # type: ignore[method-assign,assignment]
    provisioner.start(cmdb, create_request, CallContext("r-1", clock.monotonic() + 5.0, credential="own"))
    clock.spawn = spawn  # type: ignore[method-assign]
    provisioner._in_flight.clear()
    return Waiting(provisioner, cmdb, create_request, clock, work)


def operation(journal: Journal, operation_id: str) -> Operation:
    operation = journal.get(operation_id)
    assert operation is not None
    return operation


@OTHERS
@ENTRIES
def test_other_requester_waits_for_the_name(
    waiting: Waiting, clock: VirtualClock, other: dict[str, Any], entry: Entry
) -> None:
    """At its deadline it gets create_in_progress without an operation, and nothing of its own is claimed."""
    started_at = clock.monotonic()
    with pytest.raises(CreateInProgress) as caught:
        waiting.request(other, entry)
    assert clock.monotonic() - started_at == pytest.approx(2.0)
    assert (caught.value.operation, caught.value.existing) == (None, None)
    assert waiting.cmdb.writes == []


@OTHERS
def test_other_requester_runs_when_the_first_has_ended(
    waiting: Waiting, journal: Journal, other: dict[str, Any]
) -> None:
    """Its own create is sent with its own credential, and the backend says that the name is taken."""
    waiting.send_at_next_sleep()
    with pytest.raises(ModuleAlreadyExists) as caught:
        waiting.request(other, lambda provisioner: provisioner.create)
    module_id = operation(journal, "op-1").module["module"]["ref"]  # type: ignore[index]
    assert caught.value.existing == f"cmdb.{module_id}"
    assert caught.value.operation is None
    assert len(waiting.cmdb.writes) == 2
    operations = [operation(journal, f"op-{number}") for number in (1, 3)]
    assert [one.state for one in operations] == [State.SUCCEEDED, State.REFUSED]
    assert operations[1].claim.requester != operations[0].claim.requester


@OTHERS
def test_other_requester_starts_its_own_operation(waiting: Waiting, other: dict[str, Any]) -> None:
    """With respond-async too, its operation is its own, and refused."""
    waiting.send_at_next_sleep()
    result = waiting.request(other, lambda provisioner: provisioner.start)
    assert (result.match, result.operation.claim.id) == ("claimed", "op-3")


@OTHERS
@pytest.mark.parametrize("create_request", ["adopt"], indirect=True)
def test_other_requester_adopts_what_the_first_has_created(waiting: Waiting, other: dict[str, Any]) -> None:
    """With if_exists=adopt it is the adopting create of an operation of its own, and no replay."""
    waiting.send_at_next_sleep()
    result = waiting.request(other, lambda provisioner: provisioner.create)
    assert (result.created.adopted, result.replayed) == (True, False)
    assert result.operation_id == "op-3"


def test_second_key_gets_the_requesters_own_operation(waiting: Waiting) -> None:
    """With respond-async, a second key of the same requester stands for the first operation, also when it has ended."""
    start: Entry = lambda provisioner: provisioner.start  # noqa: E731
    create: Entry = lambda provisioner: provisioner.create  # noqa: E731
    accepted = waiting.request({}, start, idempotency_key="second")
    assert (accepted.match, accepted.operation.claim.id) == ("name", "op-1")
    waiting.send()
    replayed = waiting.request({}, create, idempotency_key="second")
    assert (replayed.operation_id, replayed.replayed) == ("op-1", True)
    assert len(waiting.cmdb.writes) == 1


@pytest.mark.parametrize("other", [{"caller": "another"}, {"credential": "another"}])
def test_replay_needs_the_same_caller_and_credential(waiting: Waiting, other: dict[str, Any]) -> None:
    """A key and a request id replay the result to their requester only; another's create under them is a new one."""
    waiting.send()
    create: Entry = lambda provisioner: provisioner.create  # noqa: E731
    with pytest.raises(ModuleAlreadyExists):
        waiting.request(other, create, idempotency_key="key")
    own = waiting.request({}, create, idempotency_key="key")
    assert (own.operation_id, own.replayed) == ("op-1", True)
    cmdb, draft = waiting.cmdb, replace(waiting.create_request.draft, name="y")
    first = waiting.request({}, create, draft=draft)
    with pytest.raises(ModuleAlreadyExists):
        waiting.request(other, create, draft=draft)
    assert waiting.request({}, create, draft=draft).operation_id == first.operation_id
    assert [module.name for module in cmdb.modules.values()] == ["x", "y"]
