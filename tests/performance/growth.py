"""What a large scope costs: CPU of the gateway, and how many requests it sends upstream for one of a caller's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import quote

from tests.performance import backend, proc, table
from tests.performance.servers import Server
from tests.performance.site import Site

SIZES: Final = (10, 10_000)
_MOST: Final = 200  # of a page


def measure(site: Site, *, seconds: int, tell: Callable[[str], None]) -> list[Mapping[str, Any]]:
    """Return a line for each thing asked of a small and of a large scope."""
    found: list[Mapping[str, Any]] = []
    for kind in ("cmdb", "projectman"):
        for size in SIZES:
            tell(f"{kind} with {size:,} modules")
            for what, path, shown in _asked(site, kind, size):
                before = _upstream(site)
                _ask(site.gateway_sized.address, path)
                upstream = _upstream(site) - before
                found.append(
                    {
                        "backend": kind,
                        "scope": size,
                        "asked": what,
                        "modules": shown,
                        "upstream": upstream,
                        "cpu_us": _cost(site.gateway_sized, path, seconds),
                    }
                )
            found.append({"backend": kind, "scope": size, **_walk(site, kind, size)})
    return found


def _asked(site: Site, kind: str, size: int) -> list[tuple[str, str, int]]:
    """Return what is asked, its address, and how many modules the answer holds."""
    scope = _scope(kind, size)
    listed = f"/modules?backend={kind}&scope={scope}&page_size=10"
    place = f"{scope}.10" if kind == "cmdb" else scope
    asked = [("first page of 10", listed, 10), ("read of the first", f"/modules/{kind}.{place}.1", 1)]
    if size > _MOST:
        token = _last_token(site, kind, size)
        asked.append(
            ("last page of 200", f"/modules?backend={kind}&scope={scope}&page_size=200&page_token={token}", 200)
        )
        asked.append(("read of the last", f"/modules/{kind}.{place}.{size}", 1))
    return asked


def _last_token(site: Site, kind: str, size: int) -> str:
    """Walk to the last page once and return the token that leads to it."""
    return _pages(site, kind, size)[-1]


def _walk(site: Site, kind: str, size: int) -> Mapping[str, Any]:
    before = _upstream(site)
    pages = _pages(site, kind, size)
    upstream = _upstream(site) - before
    return {"asked": f"all, {len(pages) + 1} pages of {_MOST}", "modules": size, "upstream": upstream, "cpu_us": None}


def _pages(site: Site, kind: str, size: int) -> list[str]:
    """Follow the list to its end and return the tokens on the way; RuntimeError where a module is missing."""
    listed = f"/modules?backend={kind}&scope={_scope(kind, size)}&page_size={_MOST}"
    tokens: list[str] = []
    seen: set[str] = set()
    following: str | None = ""
    while following is not None:
        page = _ask(site.gateway_sized.address, f"{listed}&page_token={following}" if following else listed)
        seen |= {module["id"] for module in page["modules"]}
        following = page["next_page_token"] and quote(page["next_page_token"])
        tokens += [following] if following else []
    if len(seen) != size:
        raise RuntimeError(f"{len(seen)} of {size} modules were listed")
    return tokens


def _cost(gateway: Server, path: str, seconds: int) -> float:
    """Return the CPU of one request, in microseconds: one after the other, for some take longer than others."""
    connection = HTTPConnection(gateway.address, timeout=30)
    before, until, count = proc.family(gateway.pid), time.monotonic() + seconds, 0
    while time.monotonic() < until:
        _exchange(connection, path)
        count += 1
    connection.close()
    return proc.spent(before, proc.family(gateway.pid)) / count * 1e6


def _scope(kind: str, size: int) -> str:
    return str(size) if kind == "cmdb" else backend.project(size)


def _upstream(site: Site) -> int:
    count: int = _ask(site.sized.address, "/requests")
    return count


def _ask(address: str, path: str) -> Any:
    connection = HTTPConnection(address, timeout=30)
    try:
        return _exchange(connection, path)
    finally:
        connection.close()


def _exchange(connection: HTTPConnection, path: str) -> Any:
    """Read an address of ours; the request's id is the same every time, which a read does not mind."""
    connection.request("GET", path, headers=dict(table.get(path).headers))
    reply = connection.getresponse()
    told = reply.read()
    if reply.status != 200:
        raise RuntimeError(f"{path} was answered with {reply.status}: {told.decode()}")
    return json.loads(told)
