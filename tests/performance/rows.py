"""The rows of the benchmark and their targets: which server receives which request, and what it may cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from tests.performance import messages
from tests.performance.messages import PAGE_LENGTH, Request, get
from tests.performance.servers import OLD_OPERATIONS


class Row(NamedTuple):
    """One row: the name of a server in Servers and a request, or a vendor's client that sends its own."""

    name: str
    server: str
    request: Request | None
    does: str
    leaves_out: str = "nothing"


FLOOR: Final = "floor"
CREATES: Final = ("create on CMDB", "create on ProjectMan")
READS: Final = ("read on CMDB", "read on ProjectMan")
OLD_CREATE: Final = "create on CMDB, old journal"
NAIVE: Final = "naive"
FASTAPI: Final = "FastAPI"
FASTAPI_READ: Final = "FastAPI, read"
VENDOR_CLIENTS: Final = ("client of CMDB", "client of ProjectMan")

_FEATURES: Final = "auth required, validation, metrics, access log to a file"
_JOURNAL: Final = f"journal (SQLite, FULL), {_FEATURES}"
_PAGE: Final = f"a page of {PAGE_LENGTH} modules; {_FEATURES}"
_MISSING: Final = "journal, exactly-once, errors of backends, deadlines, metrics, access log, auth"
_NAIVE: Final = "Flask, marshmallow, requests.post; gunicorn, one sync worker"
_FASTAPI: Final = "FastAPI, pydantic, one httpx client; one process of uvicorn on asyncio and h11"
_CLIENT: Final = "CPU of the calling process for one create, one keep-alive connection"
_CREATE: Final = messages.CREATE_CMDB._replace(headers=messages.JSON)
_READ: Final = messages.READ_CMDB._replace(headers=messages.JSON)
_LIST_CMDB: Final = get("/modules?backend=cmdb&scope=1")
_LIST_PROJECTMAN: Final = get(f"/modules?backend=projectman&scope={messages.PROJECT}")
ROWS: Final = (
    Row(
        FLOOR,
        "floor",
        Request("GET", "/", headers={}),
        "a static Flask view under the gateway's gunicorn, worker class and configuration",
        "everything else",
    ),
    Row(CREATES[0], "gateway", messages.CREATE_CMDB, f"{_JOURNAL}; one call to the ESB"),
    Row(CREATES[1], "gateway", messages.CREATE_PROJECTMAN, f"{_JOURNAL}; one signed call"),
    Row(
        "create on CMDB, with key",
        "gateway",
        messages.CREATE_CMDB_WITH_KEY,
        f"the same with an Idempotency-Key; {_JOURNAL}",
    ),
    Row(OLD_CREATE, "gateway_old", messages.CREATE_CMDB, f"the same over {OLD_OPERATIONS:,} operations; {_JOURNAL}"),
    Row(READS[0], "gateway", messages.READ_CMDB, f"{_FEATURES}; one call to the ESB"),
    Row(
        READS[1],
        "gateway",
        messages.READ_PROJECTMAN,
        f"{_FEATURES}; one signed call, a list: the API has no read",
    ),
    Row("list on CMDB", "gateway", _LIST_CMDB, _PAGE),
    Row("list on ProjectMan", "gateway", _LIST_PROJECTMAN, _PAGE),
    Row(NAIVE, "naive", _CREATE, f"create on CMDB: {_NAIVE}", f"{_MISSING}, keep-alive"),
    Row("naive, read", "naive", _READ, f"read on CMDB: {_NAIVE}", f"{_MISSING}, keep-alive"),
    Row(FASTAPI, "fastapi", _CREATE, f"create on CMDB: {_FASTAPI}", _MISSING),
    Row(FASTAPI_READ, "fastapi", _READ, f"read on CMDB: {_FASTAPI}", _MISSING),
    Row(VENDOR_CLIENTS[0], "cmdb", None, f"bkapi-component-open: {_CLIENT}", "a server"),
    Row(VENDOR_CLIENTS[1], "projectman", None, f"huaweicloudsdkprojectman: {_CLIENT}", "a server"),
    Row(
        "pass-through",
        "proxy",
        messages.DIRECT_CREATE,
        "nginx proxy_pass of CMDB's own create, keep-alive to the backend",
        "everything: requests and responses pass unchanged",
    ),
)


class Verdict(NamedTuple):
    """One target, the measured value, and whether the target is met."""

    target: str
    measured: str
    met: bool


#: The rows of which the most expensive counts, the row to which it is compared, and the largest ratio.
_RATIOS: Final = (
    ("a journaled create costs ≤ 0.36 of FastAPI's", CREATES, FASTAPI, 0.36),
    ("… and ≤ 0.60 of the naive one", CREATES, NAIVE, 0.60),
    ("… on ProjectMan, less than ProjectMan's client", CREATES[1:], VENDOR_CLIENTS[1], math.nextafter(1.0, 0.0)),
    ("… on CMDB, ≤ 1.15 of CMDB's client", CREATES[:1], VENDOR_CLIENTS[0], 1.15),
    ("… with an old journal, ≤ 1.1 of one with a new journal", (OLD_CREATE,), CREATES[0], 1.1),
    ("a read costs ≤ 0.36 of FastAPI's", READS, FASTAPI_READ, 0.36),
)


def evaluate(result: Mapping[str, Any]) -> list[Verdict]:
    """Compare the results of one run with the contract's targets."""
    cpu = {row["name"]: row["cpu_us"] for row in result["rows"]}
    latency, in_flight = result["latency"], result["in_flight"]
    create, creates, statuses = latency["create"], in_flight["creates"], in_flight["statuses"]
    least = latency["floor"]["added_p50_ms"] + latency["disk"]["p50_ms"]
    measured = ", ".join(f"{count} × {status}" for status, count in statuses.items())
    p50_unit = f" ms; the floor's view and two durable writes alone {least:.2f} ms"
    return [
        *(
            _at_most(target, max(cpu[name] for name in names) / cpu[other], limit, " of it")
            for target, names, other, limit in _RATIOS
        ),
        _at_most("added p50 of a create at 100 requests/s ≤ 2 ms", create["added_p50_ms"], 2.0, p50_unit),
        _at_most("added p99 ≤ 10 ms", create["added_p99_ms"], 10.0, " ms"),
        _at_most("start to ready ≤ 1 s", result["start"]["seconds"], 1.0, " s"),
        Verdict(f"{creates:,} creates in flight on one worker, none refused", measured, statuses == {"201": creates}),
        _at_most("… within 150 MiB resident", in_flight["resident_max_mib"], 150.0, " MiB"),
    ]


def _at_most(target: str, measured: float, limit: float, unit: str) -> Verdict:
    return Verdict(target, f"{measured:,.2f}{unit}", measured <= limit)
