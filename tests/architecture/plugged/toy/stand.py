"""The toy's stand in the contract suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from gateway.backends.toy import Options, ToyBackend  # type: ignore[import-not-found] # plugged in by the test

from gateway.app import SystemClock
from tests.contract.stand import Stand


@contextmanager
def _open() -> Iterator[Stand]:
    backend = ToyBackend("toy", Options("shelf"), SystemClock())
    yield Stand(
        backend=backend,
        scope="shelf",
        parent=None,
        owner="me",
        unknown_scope="attic",
        unknown_parent="crate",
        malformed_refs=("", "x", "-1"),
        writes=lambda: backend.writes,
        description="of the suite",
        names_are_unique_in="scope",
    )


STANDS: Mapping[str, Callable[[], AbstractContextManager[Stand]]] = {"toy": _open}
