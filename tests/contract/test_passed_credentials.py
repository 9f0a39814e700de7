"""Creates with their callers' own tokens, over ProjectMan's twin and through the whole service, in real time."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from gateway.app import SystemRuntime
from gateway.backends.projectman import create_backend
from gateway.backends.projectman.options import Passthrough
from gateway.twins.projectman import create_twin
from gateway.twins.server import running
from tests.contract.testbed import effective_writes
from tests.unit.api.problems import assert_problem
from tests.unit.backends.connections import OWNER, PROJECT, projectman_options

pytestmark = pytest.mark.loopback
BODY = {"backend": "pm", "scope": PROJECT, "name": "demo", "owners": [OWNER]}


@pytest.fixture
def clock() -> SystemRuntime:
    """The machine's clock and threads, for the service of `build`."""
    return SystemRuntime()


@dataclass
class Service:
    """The service over a twin; each request has its own request id."""

    app: Flask
    url: str

    def token(self) -> str:
        """Return a new token of the seed's first user."""
        identity = {
            "methods": ["password"],
            "password": {
                "user": {
                    "name": "demo_user_name_06",
                    "password": "demo-password",
                    "domain": {"name": "demo-account"},
                }
            },
        }
        payload = {"auth": {"identity": identity, "scope": {"project": {"name": "cn-north-4"}}}}
        with self._post("/v3/auth/tokens", payload) as response:
            return str(response.headers["X-Subject-Token"])

    def create(self, token: str, name: str = "demo", **headers: str) -> Any:
        """Create a module, and return the response."""
        all_headers = {"X-Auth-Token": token, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.app.test_client().post("/modules", json={**BODY, "name": name}, headers=all_headers)

    def delay_creates(self) -> None:
        self._post("/twin/faults", {"fault": "delay", "operation": "create", "seconds": 0.7, "times": 1}).close()

    def _post(self, path: str, payload: object) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the twin's own address
            self.url + path, json.dumps(payload).encode(), {"Content-Type": "application/json"}
        )
        return urllib.request.urlopen(request)  # noqa: S310


@pytest.fixture
def service(build: Callable[..., Flask], clock: SystemRuntime) -> Iterator[Service]:
    with running(create_twin()) as url:
        backend = create_backend("pm", projectman_options(url, auth=Passthrough()), clock)
        yield Service(build({"pm": backend}), url)


@pytest.mark.parametrize("first", ["good", "junk"])
def test_two_tokens_at_the_same_time(service: Service, first: str) -> None:
    """Neither gets the other's answer: 201 for the good token, 401 for the junk one, and one module."""
    service.delay_creates()
    tokens = {"good": service.token(), "junk": "junk"}
    second = "junk" if first == "good" else "good"
    with ThreadPoolExecutor(2) as threads:
        leading = threads.submit(service.create, tokens[first])
        time.sleep(0.2)
        following = threads.submit(service.create, tokens[second])
        responses = {first: leading.result(), second: following.result()}
    assert responses["good"].status_code == 201
    assert "instance" not in assert_problem(responses["junk"], 401, "unauthenticated")
    assert effective_writes(service.url) == 1


def test_two_good_tokens_at_the_same_time(service: Service) -> None:
    """The second create is checked by the backend too, which says that the name is taken."""
    service.delay_creates()
    one, other = service.token(), service.token()
    with ThreadPoolExecutor(2) as threads:
        leading = threads.submit(service.create, one)
        time.sleep(0.2)
        following = threads.submit(service.create, other)
        created, refused = leading.result(), following.result()
    assert created.status_code == 201
    problem = assert_problem(refused, 409, "module_already_exists")
    assert (problem["existing"], "instance" in problem) == (created.get_json()["id"], False)
    assert effective_writes(service.url) == 1


def test_replay_needs_the_same_token(service: Service) -> None:
    """A key replays its module to the token that created it; another token's create under the key is its own."""
    one, other = service.token(), service.token()
    created = service.create(one, Idempotency_Key="k")
    assert created.status_code == 201
    assert_problem(service.create("junk", Idempotency_Key="k"), 401, "unauthenticated")
    problem = assert_problem(service.create(other, Idempotency_Key="k"), 409, "module_already_exists")
    assert problem["existing"] == created.get_json()["id"]
    replayed = service.create(one, Idempotency_Key="k")
    assert (replayed.status_code, replayed.get_json()) == (201, created.get_json())
    assert replayed.headers["Idempotency-Replayed"] == "true"
    assert effective_writes(service.url) == 1
