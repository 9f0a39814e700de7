"""Refusals never open a circuit: every code that either backend's table knows, as the backend sends it."""

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

Answer = tuple[str, int, Mapping[str, str], Mapping[str, Any]]  # code, status, headers, body

#: documented: cmdb.md §4 and §5: everything is a 200, but for the proxy's 500s and the API gateway's own statuses.
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


def statuses(code: str, table: Mapping[str, tuple[int, ...]], usual: tuple[int, ...]) -> tuple[int, ...]:
    """Find the statuses of the longest prefix that the table has."""
    prefixes = sorted((prefix for prefix in table if code.startswith(prefix)), key=len)
    return table[prefixes[-1]] if prefixes else usual


def codes(rows: Mapping[str, Any], shape: str) -> list[str]:
    return sorted({match[0] for key in rows if (match := re.search(shape, key))})


CMDB: Final[list[Answer]] = [
    (code, status, {}, {"result": False, "code": int(code), "message": "no", "data": None})
    for code in codes(cmdb_errors.ERRORS.rows, "[0-9]{7}")
    # documented: cmdb.md §0: on the ESB's gateway every status is rewritten to 200
    for status in {*statuses(code, CMDB_STATUSES, (200,)), 200}
]
PM: Final[list[Answer]] = [
    (code, status, {}, {"error_code": code, "error_msg": "no"})
    for code in codes(projectman_errors.ERRORS.rows, r"(APIGW|PM)\.[0-9]+")
    for status in statuses(code, PM_STATUSES, ())
]
#: Without a code: pages and empty replies of the backend's own web server, and what nobody has thought of.
PLAIN: Final[list[Answer]] = [
    ("", s, {}, {}) for s in (200, 302, 400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 500)
]


def canned(clock: VirtualClock, answer: Answer) -> UpstreamClient:
    """A transport whose circuit opens at the first failure."""
    _, status, headers, body = answer
    transport = UpstreamClient(TransportSettings(circuit_failures=1), clock)

    def play(request: UpstreamRequest, trace: Mapping[str, str], seconds: float) -> UpstreamResponse:
        return UpstreamResponse(status, headers, json.dumps(body).encode(), request.is_write)

    transport._exchange = play  # type: ignore[method-assign] # no socket
    return transport


def ask_cmdb(transport: UpstreamClient, clock: VirtualClock) -> None:
    CmdbBackend("cmdb", cmdb_options("http://h"), transport).get("1.10.5", CallContext("r", clock.monotonic() + 20.0))


def ask_projectman(transport: UpstreamClient, clock: VirtualClock) -> None:
    who = create_auth("pm", projectman_options("http://h"), transport, clock)
    client = ProjectManClient("pm", "http://h", who, transport)
    client.request("list", "GET", f"{PROJECT}/modules", CallContext("r", clock.monotonic() + 20.0))


CASES: Final = [
    *(pytest.param(ask_cmdb, answer, id=f"cmdb-{answer[0]}-{answer[1]}") for answer in CMDB + PLAIN),
    *(pytest.param(ask_projectman, answer, id=f"projectman-{answer[0]}-{answer[1]}") for answer in PM + PLAIN),
]


@pytest.mark.parametrize(("ask", "answer"), CASES)
def test_only_what_says_that_nobody_answered_opens_it(
    clock: VirtualClock, ask: Callable[[UpstreamClient, VirtualClock], None], answer: Answer
) -> None:
    """Exactly 502, 503 and 504 do, and each of these means *unavailable* in the table too: none is a refusal."""
    transport, error = canned(clock, answer), None
    try:
        ask(transport, clock)
    except GatewayError as caught:
        error = caught
    opened = transport.state == "circuit_open"
    assert opened is (answer[1] in {502, 503, 504})
    assert not opened or isinstance(error, BackendUnavailable), "a refusal"


def test_every_code_of_both_tables_has_been_sent() -> None:
    """A code that is new in a table is in this test by itself, or misses its documented status here."""
    assert {answer[0] for answer in CMDB} == set(codes(cmdb_errors.ERRORS.rows, "[0-9]{7}"))
    assert {answer[0] for answer in PM} == set(codes(projectman_errors.ERRORS.rows, r"(APIGW|PM)\.[0-9]+"))
    assert len(CMDB) > 90
    assert len(PM) > 55


def test_a_thousand_refusals_leave_it_closed(clock: VirtualClock) -> None:
    """A backend that keeps refusing does not open the circuit: the next call may succeed."""
    transport = canned(clock, ("9900403", 200, {}, {"result": False, "bk_error_code": 9900403}))
    for _ in range(1000):
        with suppress(GatewayError):
            ask_cmdb(transport, clock)
    assert transport.state == "reachable"
