"""Which version of a connection's secrets is sent while they are replaced or refused."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.backend import CallContext
from gateway.domain.errors import (
    BackendRejectedCredentials,
    BackendUnavailable,
    ErrorContext,
    GatewayError,
    ModuleNotFound,
)
from gateway.settings import Secret
from gateway.transport.credentials import RotatingCredentials, Version
from tests.conftest import VirtualClock

_BACKOFF: Final = 60.0


class Rotated(Secret):
    """A secret that the test changes; a change is seen when it is read again, or after the next second."""

    can_change = True

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.file = value
        self.rereads = 0

    def look(self) -> None:
        self._value = self.file

    def reread(self) -> None:
        self.rereads += 1
        self.look()


class Backend:
    """A backend that accepts some versions, and counts the consecutive refusals of each first part (the access key)."""

    def __init__(self, clock: VirtualClock, *values: str) -> None:
        self.clock = clock
        self.secrets = [Rotated(value) for value in values]
        self.accepted: set[Version] = {values}
        self.error: GatewayError = BackendRejectedCredentials()
        self.sent: list[Version] = []
        self.refusals = Counter[str]()
        self.most_refusals = 0
        self.credentials = RotatingCredentials(
            self.secrets,
            clock,
            backoff_seconds=_BACKOFF,
            is_rejection=lambda error: isinstance(error, BackendRejectedCredentials) or error is self.error,
        )

    def exchange(self, version: Version) -> str:
        self.sent.append(version)
        if version in self.accepted:
            self.refusals[version[0]] = 0
            return "done"
        self.refusals[version[0]] += 1
        self.most_refusals = max(self.most_refusals, self.refusals[version[0]])
        raise self.error

    def run(self, exchange: Callable[[Version], Any] | None = None, seconds: float = 10.0) -> Any:
        call = CallContext("r", self.clock.monotonic() + seconds)
        return self.credentials.run(exchange or self.exchange, call)

    def sent_by(self, count: int = 1, **options: Any) -> Sequence[Version]:
        """Return what successful requests send."""
        before = len(self.sent)
        assert [self.run(**options) for _ in range(count)] == ["done"] * count
        return self.sent[before:]

    def refused_by(self) -> Sequence[Version]:
        """Return what a refused request sends."""
        before = len(self.sent)
        with pytest.raises(type(self.error)):
            self.run()
        return self.sent[before:]

    def write(self, *values: str) -> None:
        for secret, value in zip(self.secrets, values, strict=True):
            secret.file = value
            secret.look()


@pytest.fixture
def backend(clock: VirtualClock) -> Backend:
    return Backend(clock, "old")


@pytest.fixture
def pair(clock: VirtualClock) -> Backend:
    """A connection with an access key and a secret key."""
    return Backend(clock, "ak1", "sk1")


def test_one_request_tries_a_new_secret(backend: Backend) -> None:
    """While it does, the others send the old one; when it was accepted, all send the new one."""
    backend.accepted.add(("new",))
    backend.write("new")

    def try_and_look(version: Version) -> str:
        assert backend.sent_by(3) == [("old",)] * 3
        return backend.exchange(version)

    assert backend.sent_by(exchange=try_and_look)[-1] == ("new",)
    backend.accepted.remove(("old",))
    assert backend.sent_by(3) == [("new",)] * 3


def test_a_new_secret_that_is_not_accepted_yet(backend: Backend, clock: VirtualClock) -> None:
    """The request that tries it is repeated with the old one, and no request fails; it is tried again after a while."""
    backend.write("new")
    assert backend.sent_by(5) == [("new",), *[("old",)] * 5]
    clock.seconds += _BACKOFF
    assert backend.sent_by(2) == [("new",), ("old",), ("old",)]
    backend.accepted = {("new",)}
    clock.seconds += _BACKOFF
    assert backend.sent_by(3) == [("new",)] * 3


def test_a_secret_that_is_accepted_by_some_servers_only(backend: Backend, clock: VirtualClock) -> None:
    """If the new one was accepted and is refused later, the old one is sent for a while: no request fails."""
    backend.accepted.add(("new",))
    backend.write("new")
    backend.sent_by()
    backend.accepted.remove(("new",))
    assert backend.sent_by(3) == [("new",), *[("old",)] * 3]
    backend.accepted = {("new",)}
    clock.seconds += _BACKOFF
    assert backend.sent_by(2) == [("new",)] * 2


def test_an_unchanged_secret_that_is_refused(backend: Backend, clock: VirtualClock) -> None:
    """One send and one look at the file; then nothing is sent, but for one request each backoff time."""
    backend.accepted.clear()
    assert backend.refused_by() == [("old",)]
    assert [backend.refused_by() for _ in range(1000)] == [[]] * 1000
    clock.seconds += _BACKOFF - 0.1
    assert backend.refused_by() == []
    clock.seconds += 0.1
    assert [backend.refused_by() for _ in range(3)] == [[("old",)], [], []]
    assert backend.secrets[0].rereads == 2
    backend.accepted = {("old",)}
    clock.seconds += _BACKOFF
    assert backend.sent_by(3) == [("old",)] * 3


def test_a_changed_file_ends_the_pause(backend: Backend) -> None:
    """The next request sends the new secret at once."""
    backend.accepted = {("new",)}
    backend.refused_by()
    backend.write("new")
    assert backend.sent_by(2) == [("new",)] * 2


def test_a_refusal_looks_at_the_file(backend: Backend) -> None:
    """A secret that was changed and is not noticed yet is read, and the request is repeated once."""
    backend.accepted, backend.secrets[0].file = {("new",)}, "new"
    assert backend.sent_by(2) == [("old",), ("new",), ("new",)]


def test_a_request_is_repeated_twice_at_most(pair: Backend) -> None:
    """If the other versions are refused too, the request fails; the file may have changed again meanwhile."""

    def refuse(version: Version) -> str:
        pair.write("ak", f"sk{len(pair.sent)}")
        return pair.exchange(version)

    pair.accepted.clear()
    with pytest.raises(BackendRejectedCredentials):
        pair.run(refuse)
    assert len(pair.sent) == 3


def test_two_files_that_are_replaced_one_after_the_other(pair: Backend, clock: VirtualClock) -> None:
    """The old pair is sent until both have changed, and no mixed one, whichever file is first."""
    pair.accepted.add(("ak2", "sk2"))
    for mixed in (("ak2", "sk1"), ("ak1", "sk2")):
        pair.write(*mixed)
        clock.seconds += 50.0
        assert pair.sent_by(2) == [("ak1", "sk1")] * 2
        pair.write("ak1", "sk1")
        pair.sent_by()
    pair.write("ak2", "sk1")
    pair.sent_by()
    pair.write("ak2", "sk2")
    assert pair.sent_by(2) == [("ak2", "sk2")] * 2


def test_only_one_of_two_files_is_meant_to_change(pair: Backend, clock: VirtualClock) -> None:
    """After a minute the pair is tried; if it is refused, the old one goes on, and no request fails."""
    pair.write("ak1", "sk2")
    pair.sent_by()
    clock.seconds += 60.0
    assert pair.sent_by(3) == [("ak1", "sk2"), *[("ak1", "sk1")] * 3]
    pair.accepted = {("ak1", "sk2")}
    clock.seconds += _BACKOFF
    assert pair.sent_by(2) == [("ak1", "sk2")] * 2


def test_the_old_pair_is_revoked_between_the_two_files(pair: Backend) -> None:
    """The mixed pair is sent once; then nothing, until the other file has changed."""
    pair.accepted = {("ak2", "sk2")}
    pair.write("ak2", "sk1")
    assert [pair.refused_by() for _ in range(100)] == [[("ak1", "sk1"), ("ak2", "sk1")], *[[]] * 99]
    pair.write("ak2", "sk2")
    assert pair.sent_by(2) == [("ak2", "sk2")] * 2
    assert pair.most_refusals == 1


def test_a_locked_key_rests_as_long_as_it_is_locked(pair: Backend, clock: VirtualClock) -> None:
    """The error of the lock goes on, with the time that is left of it."""
    pair.accepted.clear()
    pair.error = BackendUnavailable(context=ErrorContext(retry_after=300.0))
    assert pair.refused_by() == [("ak1", "sk1")]
    clock.seconds += 299.0
    with pytest.raises(BackendUnavailable) as caught:
        pair.run()
    assert (len(pair.sent), caught.value.context.retry_after) == (1, 1.0)
    clock.seconds += 1.0
    assert pair.refused_by() == [("ak1", "sk1")]


@pytest.mark.parametrize("error", [ModuleNotFound(), KeyboardInterrupt()])
def test_a_trial_that_proves_nothing(backend: Backend, error: BaseException) -> None:
    """Another error says nothing about the secret: the next request tries it."""
    backend.accepted.add(("new",))
    backend.write("new")

    def fail(_version: Version) -> str:
        raise error

    with pytest.raises(type(error)):
        backend.run(fail)
    assert backend.sent_by(2) == [("new",)] * 2


def _refuse_together(backend: Backend, count: int) -> tuple[int, int]:
    """Let requests be refused at the same time; return how many were successful, and how many sends there were."""
    barrier = threading.Barrier(count)

    def exchange(version: Version) -> str:
        if version == ("old",):
            barrier.wait(timeout=10)
        else:
            time.sleep(0.1)  # the others come and wait
        return backend.exchange(version)

    def run(_: int) -> bool:
        try:
            return bool(backend.run(exchange) == "done")
        except BackendRejectedCredentials:
            return False

    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(run, range(count))), len(backend.sent)


@pytest.mark.parametrize(
    ("file", "accepted", "successes", "sends"),
    [("old", None, 0, 20), ("wrong", None, 0, 21), ("new", ("new",), 20, 40)],
    ids=["unchanged", "changed and refused too", "changed"],
)
def test_twenty_requests_that_are_refused_together(
    backend: Backend, file: str, accepted: Version | None, successes: int, sends: int
) -> None:
    """They cause one look at the file, and one request tries the new secret before the others send it."""
    backend.accepted = {accepted} if accepted else set()
    backend.secrets[0].file = file
    assert _refuse_together(backend, 20) == (successes, sends)
    assert backend.secrets[0].rereads == 1


def test_the_wait_for_a_trial_ends_at_the_deadline(backend: Backend) -> None:
    """The request that waits says that nothing was sent."""
    backend.accepted = {("new",)}
    backend.refused_by()
    backend.write("new")

    def wait(version: Version) -> str:
        with pytest.raises(BackendUnavailable, match="nothing was sent"):
            backend.run(seconds=0.0)
        return backend.exchange(version)

    assert backend.sent_by(exchange=wait)[-1:] == [("new",)]


_STEPS: Final = st.sampled_from(["ak", "sk", "accept", "wait", "long wait", "request"])


@given(st.lists(_STEPS, max_size=40))
def test_any_rotation_in_which_one_pair_is_accepted(steps: list[str]) -> None:
    """No request fails if the old pair is accepted until the new one was used; no mixed pair is sent within a minute.

    No key is refused six times in a row.
    """
    clock = VirtualClock()
    backend = Backend(clock, "ak0", "sk0")
    number, quick = 0, True
    for step in steps:
        current, following = (f"ak{number}", f"sk{number}"), (f"ak{number + 1}", f"sk{number + 1}")
        if step in {"ak", "sk"}:
            index = ("ak", "sk").index(step)
            backend.secrets[index].file = following[index]
        elif step == "accept":
            backend.accepted = {current, following}
        elif step == "request":
            assert len(backend.sent_by()) <= 3
            if backend.sent[-1] == following:
                number += 1
                backend.accepted.discard(current)
        else:
            clock.seconds += 1.0 if step == "wait" else 61.0
            quick &= step == "wait"
            for secret in backend.secrets:
                secret.look()
    assert not quick or all(version[0][2:] == version[1][2:] for version in backend.sent)
    assert backend.most_refusals <= 5
