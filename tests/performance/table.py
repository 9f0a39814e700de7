"""The rows of the benchmark: which server receives which request, what the row does and what it leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.performance import bodies, configuration
from tests.performance.rounds import Row, client_run, server_run
from tests.performance.servers_fixture import OLD_OPERATIONS, BenchServers
from tests.performance.wrk import RequestSpec

FLOOR: Final = "floor"
CREATES: Final = ("create on CMDB", "create on ProjectMan")
READS: Final = ("read on CMDB", "read on ProjectMan")
OLD_CREATE: Final = "create on CMDB, old journal"
NAIVE: Final = "naive"
NAIVE_READ: Final = "naive, read"
FASTAPI: Final = "FastAPI"
FASTAPI_READ: Final = "FastAPI, read"
VENDOR_CLIENTS: Final = ("client of CMDB", "client of ProjectMan")
PASS_THROUGH: Final = "pass-through"

_FEATURES: Final = f"auth {configuration.AUTH}, validation, metrics, access log to a file"
_JOURNAL: Final = "journal (SQLite, FULL)"
_MODULES: Final = "/modules"
_JSON: Final = {"Content-Type": "application/json"}
CMDB_MODULE: Final = f"{_MODULES}/cmdb.1.10.{bodies.READ_ID}"
_PROJECTMAN_MODULE: Final = f"{_MODULES}/projectman.{bodies.PROJECT}.{bodies.READ_ID}"
_CMDB_LIST: Final = f"{_MODULES}?backend=cmdb&scope=1"
_PROJECTMAN_LIST: Final = f"{_MODULES}?backend=projectman&scope={bodies.PROJECT}"


def create(draft: str, **headers: str) -> RequestSpec:
    """Return a create request to the gateway."""
    return RequestSpec(path=_MODULES, method="POST", body=draft, headers={**configuration.headers(), **headers})


def get(path: str) -> RequestSpec:
    """Return a GET request to the gateway."""
    return RequestSpec(path=path, headers=configuration.headers())


def rows(servers: BenchServers) -> Sequence[Row]:
    """Return all rows in the order of the report."""
    return (*_gateway_rows(servers), *_comparison_rows(servers))


def _gateway_rows(servers: BenchServers) -> tuple[Row, ...]:
    page = f"a page of {bodies.PAGE_LENGTH} modules; {_FEATURES}"
    static = "a static Flask view under the gateway's gunicorn, worker class and configuration"
    cmdb_create = create(bodies.CMDB_DRAFT)
    table = (
        (FLOOR, static, "everything else", RequestSpec(path="/")),
        (CREATES[0], f"{_JOURNAL}, {_FEATURES}; one call to the ESB", "nothing", cmdb_create),
        (CREATES[1], f"{_JOURNAL}, {_FEATURES}; one signed call", "nothing", create(bodies.PROJECTMAN_DRAFT)),
        (
            "create on CMDB, with key",
            f"the same with an Idempotency-Key; {_JOURNAL}, {_FEATURES}",
            "nothing",
            create(bodies.CMDB_DRAFT, **{"Idempotency-Key": "k@"}),
        ),
        (OLD_CREATE, f"the same over {OLD_OPERATIONS:,} operations; {_JOURNAL}, {_FEATURES}", "nothing", cmdb_create),
        (READS[0], f"{_FEATURES}; one call to the ESB", "nothing", get(CMDB_MODULE)),
        (READS[1], f"{_FEATURES}; one signed call, a list: the API has no read", "nothing", get(_PROJECTMAN_MODULE)),
        ("list on CMDB", page, "nothing", get(_CMDB_LIST)),
        ("list on ProjectMan", page, "nothing", get(_PROJECTMAN_LIST)),
    )
    targets = {FLOOR: servers.floor, OLD_CREATE: servers.gateway_old}
    return tuple(
        Row(name=name, does=does, leaves_out=missing, run=server_run(targets.get(name, servers.gateway), spec))
        for name, does, missing, spec in table
    )


def _comparison_rows(servers: BenchServers) -> tuple[Row, ...]:
    features = "journal, exactly-once, errors of backends, deadlines, metrics, access log, auth"
    naive = "Flask, marshmallow, requests.post; gunicorn, one sync worker"
    fastapi = "FastAPI, pydantic, one httpx client; one process of uvicorn on asyncio and h11"
    client = "CPU of the calling process for one create, one keep-alive connection"
    own_create = RequestSpec(path=_MODULES, method="POST", body=bodies.CMDB_DRAFT, headers=_JSON)
    own_read = RequestSpec(path=CMDB_MODULE, headers=_JSON)
    direct = RequestSpec(path=bodies.CMDB_CREATE, method="POST", body=bodies.CMDB_DIRECT, headers=_JSON)
    url = servers.backend.url
    table = (
        (NAIVE, f"create on CMDB: {naive}", f"{features}, keep-alive", server_run(servers.naive, own_create)),
        (NAIVE_READ, f"read on CMDB: {naive}", f"{features}, keep-alive", server_run(servers.naive, own_read)),
        (FASTAPI, f"create on CMDB: {fastapi}", features, server_run(servers.fastapi, own_create)),
        (FASTAPI_READ, f"read on CMDB: {fastapi}", features, server_run(servers.fastapi, own_read)),
        (VENDOR_CLIENTS[0], f"bkapi-component-open: {client}", "a server", client_run("cmdb", url)),
        (VENDOR_CLIENTS[1], f"huaweicloudsdkprojectman: {client}", "a server", client_run("projectman", url)),
        (
            PASS_THROUGH,
            "nginx proxy_pass of CMDB's own create, keep-alive to the backend",
            "everything: requests and responses pass unchanged",
            server_run(servers.proxy, direct),
        ),
    )
    return tuple(Row(name=name, does=does, leaves_out=missing, run=run) for name, does, missing, run in table)
