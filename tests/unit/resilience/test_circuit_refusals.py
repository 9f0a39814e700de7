"""Refusals never open a circuit breaker: every code of both error tables is tested with its documented statuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import pytest

from gateway.backends.cmdb import errors as cmdb_errors
from gateway.backends.cmdb.adapter import CmdbBackend
from gateway.backends.projectman import errors as projectman_errors
from gateway.backends.projectman.auth import create_auth
from gateway.backends.projectman.client import ProjectManClient
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendUnavailable, GatewayError
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest, UpstreamResponse
from tests.conftest import VirtualClock
from tests.unit.backends.connections import PROJECT, cmdb_options, projectman_options

CannedResponse = tuple[str, int, Mapping[str, str], Mapping[str, Any]]  # code, status, headers, body

#: documented: cmdb.md §4 and §5: every status is 200, except the proxy's 500 and those of the API gateway itself.
CMDB_STATUSES: Final = {
    "1199027": (200, 500), "1199998": (200, 500),
    "1640001": (400,), "1640004": (400,), "16401": (401,), "16403": (403,), "16404": (404,), "16413": (413,),
    "16414": (414,), "16429": (429,), "1650000": (500,), "1650001": (500,), "1650002": (500,), "1650200": (502,),
    "1650201": (502,), "1650300": (503,), "1650401": (504,), "1650801": (508,), "1650070": (500,),
}  # fmt: skip
#: documented: projectman.md §4c.
PM_STATUSES: Final = {
    "APIGW.0101": (404,), "APIGW.0103": (404,), "APIGW.010": (400,), "APIGW.0201": (400, 413, 414, 494, 502, 504),
    "APIGW.0203": (504,), "APIGW.0308": (429,), "APIGW.030": (401, 403), "APIGW.031": (401, 403),
    "APIGW.040": (403,), "APIGW.050": (405,), "APIGW.0602": (400,), "APIGW.0607": (400,), "APIGW.0610": (502,),
    "APIGW.0613": (503,), "APIGW.06": (500,), "APIGW.0705": (500,), "APIGW.080": (403,),
    "PM.00000014": (403,), "PM.": (400,),
}  # fmt: skip


def statuses(code: str, table: Mapping[str, tuple[int, ...]], default: tuple[int, ...]) -> tuple[int, ...]:
    """Return the statuses of the longest prefix of the code in the table."""
    prefixes = sorted((prefix for prefix in table if code.startswith(prefix)), key=len)
    return table[prefixes[-1]] if prefixes else default


def codes(rows: Mapping[str, Any], pattern: str) -> list[str]:
    return sorted({match[0] for key in rows if (match := re.search(pattern, key))})


CMDB_RESPONSES: Final[list[CannedResponse]] = [
    (code, status, {}, {"result": False, "code": int(code), "message": "no", "data": None})
    for code in codes(cmdb_errors.ERRORS.rows, "[0-9]{7}")
    # documented: cmdb.md §0: on the ESB's gateway every status is rewritten to 200
    for status in {*statuses(code, CMDB_STATUSES, (200,)), 200}
]
PM_RESPONSES: Final[list[CannedResponse]] = [
    (code, status, {}, {"error_code": code, "error_msg": "no"})
    for code in codes(projectman_errors.ERRORS.rows, r"(APIGW|PM)\.[0-9]+")
    for status in statuses(code, PM_STATUSES, ())
]
#: Responses without a code: pages and empty responses of the backend's web server, and unforeseen statuses.
RESPONSES_WITHOUT_CODE: Final[list[CannedResponse]] = [
    ("", s, {}, {}) for s in (200, 302, 400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 500)
]


def create_client(clock: VirtualClock, canned_response: CannedResponse) -> UpstreamClient:
    """Return a client that gets only this response, and whose circuit breaker opens at the first failure."""
    _, status, headers, body = canned_response
    client = UpstreamClient(TransportSettings(circuit_failures=1), clock)

    def respond(request: UpstreamRequest, trace: Mapping[str, str], deadline: float) -> UpstreamResponse:
        return UpstreamResponse(status, headers, json.dumps(body).encode(), request.is_write)

    client._exchange = respond  # type: ignore[method-assign] # no socket
    return client


def send_to_cmdb(client: UpstreamClient, clock: VirtualClock) -> None:
    CmdbBackend("cmdb", cmdb_options("http://h"), client, clock).get(
        "1.10.5", CallContext("r", clock.monotonic() + 20.0)
    )


def send_to_projectman(client: UpstreamClient, clock: VirtualClock) -> None:
    auth = create_auth("pm", projectman_options("http://h"), client, clock)
    projectman = ProjectManClient("pm", "http://h", auth, client)
    projectman.request("list", "GET", f"{PROJECT}/modules", CallContext("r", clock.monotonic() + 20.0))


CASES: Final = [
    *(
        pytest.param(send_to_cmdb, response, id=f"cmdb-{response[0]}-{response[1]}")
        for response in CMDB_RESPONSES + RESPONSES_WITHOUT_CODE
    ),
    *(
        pytest.param(send_to_projectman, response, id=f"projectman-{response[0]}-{response[1]}")
        for response in PM_RESPONSES + RESPONSES_WITHOUT_CODE
    ),
]


@pytest.mark.parametrize(("send", "canned_response"), CASES)
def test_only_unavailability_opens_the_circuit(
    clock: VirtualClock, send: Callable[[UpstreamClient, VirtualClock], None], canned_response: CannedResponse
) -> None:
    """Exactly 502, 503 and 504 open it, and the error table maps each of them to BackendUnavailable."""
    client, error = create_client(clock, canned_response), None
    try:
        send(client, clock)
    except GatewayError as caught:
        error = caught
    opened = client.state == "circuit_open"
    assert opened is (canned_response[1] in {502, 503, 504})
    assert not opened or isinstance(error, BackendUnavailable), "a refusal opened the circuit"


def test_cases_cover_every_code_of_both_tables() -> None:
    """A new code in a table is tested automatically, or this test fails because its documented status is missing."""
    assert {response[0] for response in CMDB_RESPONSES} == set(codes(cmdb_errors.ERRORS.rows, "[0-9]{7}"))
    assert {response[0] for response in PM_RESPONSES} == set(
        codes(projectman_errors.ERRORS.rows, r"(APIGW|PM)\.[0-9]+")
    )
    assert len(CMDB_RESPONSES) > 90
    assert len(PM_RESPONSES) > 55


def test_circuit_stays_closed_after_a_thousand_refusals(clock: VirtualClock) -> None:
    """Refusals without end do not open the circuit, because the next call may succeed."""
    client = create_client(clock, ("9900403", 200, {}, {"result": False, "bk_error_code": 9900403}))
    for _ in range(1000):
        with suppress(GatewayError):
            send_to_cmdb(client, clock)
    assert client.state == "reachable"
