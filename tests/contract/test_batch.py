"""A batch of the whole service over ProjectMan's twin: how often its list is read, and what a repetition costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from flask import Flask

from gateway.app import SystemRuntime
from gateway.backends import projectman
from gateway.resilience import RetryingBackend
from gateway.twins.projectman import create_twin
from gateway.twins.server import running
from tests.unit.backends.connections import OWNER, PROJECT, projectman_options

pytestmark = pytest.mark.loopback


@pytest.fixture
def clock() -> SystemRuntime:
    """The machine's clock and threads, for the service of `build`."""
    return SystemRuntime()


def test_adopting_a_hundred_modules_reads_the_list_a_few_times(
    build: Callable[..., Flask], clock: SystemRuntime
) -> None:
    """The items of a batch share one list of their scope, when they create the modules and when they adopt them."""
    with running(create_twin()) as url:
        backend = projectman.create_backend("pm", projectman_options(url), clock)
        client = build({"pm": RetryingBackend(backend, clock)}).test_client()
        items = [{"name": f"batch-{number}"} for number in range(100)]
        document = {"defaults": {"backend": "pm", "scope": PROJECT, "owners": [OWNER]}, "items": items}
        for counted in ("created", "adopted"):
            before = _requests(url)
            response: Any = client.post("/modules:batch?if_exists=adopt", json=document)
            assert response.get_json()["summary"][counted] == 100, response.get_json()["summary"]
            sent = {name: count - before.get(name, 0) for name, count in _requests(url).items()}
            assert 1 <= sent["list_modules"] <= 10, sent
            assert sent.get("create_module", 0) == (100 if counted == "created" else 0), sent


def _requests(url: str) -> dict[str, int]:
    counts: dict[str, int] = requests.get(f"{url}/twin/requests", timeout=10).json()
    return counts
