"""The toy's fixture in the contract suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from gateway.backends.toy import Options, ToyBackend  # type: ignore[import-not-found] # added by the test's plugin

from gateway.app import SystemClock
from tests.contract.testbed import BackendFixture


@contextmanager
def _open() -> Iterator[BackendFixture]:
    backend = ToyBackend("toy", Options("shelf"), SystemClock())
    yield BackendFixture(
        backend=backend,
        scope="shelf",
        parent=None,
        owner="me",
        unknown_scope="attic",
        unknown_parent="crate",
        malformed_refs=("", "x", "-1"),
        writes=lambda: backend.writes,
        description="a description",
        names_are_unique_in="scope",
        lookups={"scopes": ("shelf",), "parents": ("box",)},
    )


FIXTURES: Mapping[str, Callable[[], AbstractContextManager[BackendFixture]]] = {"toy": _open}
