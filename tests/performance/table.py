"""The rows of the benchmark: what is asked of whom, and what each does and leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.performance import bodies, configuration
from tests.performance.rounds import Row, called, served
from tests.performance.site import OLD, Site
from tests.performance.wrk import Shot

FLOOR: Final = "floor"
CREATES: Final = ("create on CMDB", "create on ProjectMan")
READS: Final = ("read on CMDB", "read on ProjectMan")
OLD_CREATE: Final = "create on CMDB, old journal"
NAIVE: Final = "naive"
FASTAPI: Final = "FastAPI"
VENDORS: Final = ("client of CMDB", "client of ProjectMan")
PASS_THROUGH: Final = "pass-through"

_ON: Final = f"auth {configuration.AUTH}, validation, metrics, access log to a file"
_JOURNAL: Final = "journal (SQLite, FULL)"
_MODULES: Final = "/modules"
_JSON: Final = {"Content-Type": "application/json"}
CMDB_MODULE: Final = f"{_MODULES}/cmdb.1.10.{bodies.READ}"
_PROJECTMAN_MODULE: Final = f"{_MODULES}/projectman.{bodies.PROJECT}.{bodies.READ}"
_CMDB_LIST: Final = f"{_MODULES}?backend=cmdb&scope=1"
_PROJECTMAN_LIST: Final = f"{_MODULES}?backend=projectman&scope={bodies.PROJECT}"


def create(draft: str, **headers: str) -> Shot:
    """Return a create of our API."""
    return Shot(path=_MODULES, method="POST", body=draft, headers={**configuration.headers(), **headers})


def get(path: str) -> Shot:
    """Return a read of our API."""
    return Shot(path=path, headers=configuration.headers())


def rows(site: Site) -> Sequence[Row]:
    """Return all rows, in the order in which they are printed."""
    return (*_ours(site), *_others(site))


def _ours(site: Site) -> tuple[Row, ...]:
    listed = f"a page of {bodies.LISTED} modules; {_ON}"
    table = (
        (FLOOR, "a static Flask view under our gunicorn, worker class and configuration", "all else", Shot(path="/")),
        (CREATES[0], f"{_JOURNAL}, {_ON}; one call to the ESB", "nothing", create(bodies.CMDB_DRAFT)),
        (CREATES[1], f"{_JOURNAL}, {_ON}; one signed call", "nothing", create(bodies.PROJECTMAN_DRAFT)),
        (
            "create on CMDB, with key",
            f"the same with an Idempotency-Key; {_JOURNAL}, {_ON}",
            "nothing",
            create(bodies.CMDB_DRAFT, **{"Idempotency-Key": "k@"}),
        ),
        (OLD_CREATE, f"the same over {OLD:,} operations; {_JOURNAL}, {_ON}", "nothing", create(bodies.CMDB_DRAFT)),
        (READS[0], f"{_ON}; one call to the ESB", "nothing", get(CMDB_MODULE)),
        (READS[1], f"{_ON}; one signed call, a list: there is no other", "nothing", get(_PROJECTMAN_MODULE)),
        ("list on CMDB", listed, "nothing", get(_CMDB_LIST)),
        ("list on ProjectMan", listed, "nothing", get(_PROJECTMAN_LIST)),
    )
    servers = {FLOOR: site.floor, OLD_CREATE: site.gateway_old}
    return tuple(
        Row(name=name, does=does, leaves_out=missing, run=served(servers.get(name, site.gateway), shot))
        for name, does, missing, shot in table
    )


def _others(site: Site) -> tuple[Row, ...]:
    none_of_ours = "journal, exactly-once, errors of backends, deadlines, metrics, access log, auth"
    own = Shot(path=_MODULES, method="POST", body=bodies.CMDB_DRAFT, headers=_JSON)
    direct = Shot(path=bodies.CMDB_CREATE, method="POST", body=bodies.CMDB_DIRECT, headers=_JSON)
    client = "the caller's own CPU for one create, in process, one connection kept"
    return (
        Row(
            name=NAIVE,
            does="create on CMDB: Flask, marshmallow, requests.post; gunicorn, one sync worker",
            leaves_out=f"{none_of_ours}, kept connections",
            run=served(site.naive, own),
        ),
        Row(
            name=FASTAPI,
            does="create on CMDB: FastAPI, pydantic, one httpx client; one process of uvicorn on asyncio and h11",
            leaves_out=none_of_ours,
            run=served(site.fastapi, own),
        ),
        Row(
            name=VENDORS[0],
            does=f"bkapi-component-open: {client}",
            leaves_out="a service: no server, no one else is served",
            run=called("cmdb", site.backend.url),
        ),
        Row(
            name=VENDORS[1],
            does=f"huaweicloudsdkprojectman: {client}",
            leaves_out="a service: no server, no one else is served",
            run=called("projectman", site.backend.url),
        ),
        Row(
            name=PASS_THROUGH,
            does="nginx proxy_pass of CMDB's own create, connections kept",
            leaves_out="everything: it translates nothing and knows nothing",
            run=served(site.proxy, direct),
        ),
    )
