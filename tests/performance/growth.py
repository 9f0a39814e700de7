"""Measures the cost of a large scope: the gateway's CPU, and its requests to the backend for one request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import quote

from tests.performance import backend, proc, table
from tests.performance.servers import Server
from tests.performance.servers_fixture import BenchServers

SIZES: Final = (10, 10_000)
_MAX_PAGE: Final = 200


def measure(servers: BenchServers, *, seconds: int, progress: Callable[[str], None]) -> list[Mapping[str, Any]]:
    """Return a line for each request to a small and to a large scope."""
    lines: list[Mapping[str, Any]] = []
    for kind in ("cmdb", "projectman"):
        for size in SIZES:
            progress(f"{kind} with {size:,} modules")
            for request, path, modules in _requests(servers, kind, size):
                before = _upstream_requests(servers)
                _get(servers.gateway_sized.address, path)
                lines.append(
                    {
                        "backend": kind,
                        "scope": size,
                        "request": request,
                        "modules": modules,
                        "upstream": _upstream_requests(servers) - before,
                        "cpu_us": _cpu_us(servers.gateway_sized, path, seconds),
                    }
                )
            lines.append({"backend": kind, "scope": size, **_list_all(servers, kind, size)})
    return lines


def _requests(servers: BenchServers, kind: str, size: int) -> list[tuple[str, str, int]]:
    """Return name and path of each request, and the number of modules in its response."""
    scope = _scope(kind, size)
    page = f"/modules?backend={kind}&scope={scope}"
    parent = f"{scope}.10" if kind == "cmdb" else scope
    requests = [
        ("first page of 10", f"{page}&page_size=10", 10),
        ("read of the first", f"/modules/{kind}.{parent}.1", 1),
    ]
    if size > _MAX_PAGE:
        token = _page_tokens(servers, kind, size)[-1]
        requests.append(("last page of 200", f"{page}&page_size=200&page_token={token}", 200))
        requests.append(("read of the last", f"/modules/{kind}.{parent}.{size}", 1))
    return requests


def _list_all(servers: BenchServers, kind: str, size: int) -> Mapping[str, Any]:
    before = _upstream_requests(servers)
    pages = len(_page_tokens(servers, kind, size)) + 1
    upstream = _upstream_requests(servers) - before
    return {"request": f"all, {pages} pages of {_MAX_PAGE}", "modules": size, "upstream": upstream, "cpu_us": None}


def _page_tokens(servers: BenchServers, kind: str, size: int) -> list[str]:
    """Read the whole list and return its page tokens; raise RuntimeError if a module is missing."""
    path = f"/modules?backend={kind}&scope={_scope(kind, size)}&page_size={_MAX_PAGE}"
    tokens: list[str] = []
    ids: set[str] = set()
    token: str | None = ""
    while token is not None:
        page = _get(servers.gateway_sized.address, f"{path}&page_token={token}" if token else path)
        ids |= {module["id"] for module in page["modules"]}
        token = page["next_page_token"] and quote(page["next_page_token"])
        tokens += [token] if token else []
    if len(ids) != size:
        raise RuntimeError(f"{len(ids)} of {size} modules were listed")
    return tokens


def _cpu_us(gateway: Server, path: str, seconds: int) -> float:
    """Return the CPU of one request in microseconds; the requests are sent one after the other."""
    connection = HTTPConnection(gateway.address, timeout=30)
    before, deadline, count = proc.process_tree(gateway.pid), time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        _exchange(connection, path)
        count += 1
    connection.close()
    return proc.cpu_used(before, proc.process_tree(gateway.pid)) / count * 1e6


def _scope(kind: str, size: int) -> str:
    return str(size) if kind == "cmdb" else backend.project(size)


def _upstream_requests(servers: BenchServers) -> int:
    count: int = _get(servers.sized.address, "/requests")
    return count


def _get(address: str, path: str) -> Any:
    connection = HTTPConnection(address, timeout=30)
    try:
        return _exchange(connection, path)
    finally:
        connection.close()


def _exchange(connection: HTTPConnection, path: str) -> Any:
    """Send a GET; its request id is always the same, which has no effect on reads."""
    connection.request("GET", path, headers=dict(table.get(path).headers))
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise RuntimeError(f"{path} was answered with {response.status}: {body.decode()}")
    return json.loads(body)
