"""Measures the cost of a large scope: the gateway's CPU, and its requests to the backend for one request."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import quote

from tests.integration.http_client import exchange, send
from tests.performance import backend, messages
from tests.performance.rounds import cpu_seconds, cpu_used
from tests.performance.servers import Server, Servers

_log: Final = logging.getLogger(__name__)
SIZES: Final = (10, 10_000)
_MAX_PAGE: Final = 200
_KEYS: Final = ("backend", "scope", "request", "modules", "upstream", "cpu_us")
_HEADERS: Final = messages.READ_CMDB.headers


def measure(servers: Servers, *, seconds: int) -> list[Mapping[str, Any]]:
    """Return a line for each request to a small and to a large scope; the ids of scopes are their sizes."""
    lines: list[tuple[object, ...]] = []
    for kind, size in ((kind, size) for kind in ("cmdb", "projectman") for size in SIZES):
        _log.info("%s with %d modules", kind, size)
        scope = str(size) if kind == "cmdb" else backend.project(size)
        path, module = f"/modules?backend={kind}&scope={scope}", f"/modules/{kind}.{scope}"
        if kind == "cmdb":
            module += ".10"
        before = _upstream(servers)
        pages = _pages(servers.gateway_sized, f"{path}&page_size={_MAX_PAGE}", size)
        all_upstream = _upstream(servers) - before
        requests = [("first page of 10", f"{path}&page_size=10", 10), ("read of the first", f"{module}.1", 1)]
        if size > _MAX_PAGE:
            requests += [("last page of 200", pages[-1], 200), ("read of the last", f"{module}.{size}", 1)]
        for request, url, modules in requests:
            before = _upstream(servers)
            _get(servers.gateway_sized, url)
            upstream = _upstream(servers) - before
            lines.append((kind, size, request, modules, upstream, _cpu_us(servers.gateway_sized, url, seconds)))
        lines.append((kind, size, f"all, {len(pages)} pages of {_MAX_PAGE}", size, all_upstream, None))
    return [dict(zip(_KEYS, line, strict=True)) for line in lines]


def _pages(gateway: Server, path: str, size: int) -> list[str]:
    """Read the whole list and return the path of each page; raise RuntimeError if a module is missing."""
    pages: list[str] = []
    ids: set[str] = set()
    token: str | None = ""
    while token is not None:
        pages.append(f"{path}&page_token={quote(token)}" if token else path)
        page = _get(gateway, pages[-1])
        ids |= {module["id"] for module in page["modules"]}
        token = page["next_page_token"]
    if len(ids) != size:
        raise RuntimeError(f"{len(ids)} of {size} modules were listed")
    return pages


def _cpu_us(gateway: Server, path: str, seconds: int) -> float:
    """Return the CPU of one request in microseconds; the requests are sent one after the other."""
    before, deadline, count = cpu_seconds(gateway.pid), time.monotonic() + seconds, 0
    with closing(HTTPConnection(gateway.address, timeout=30)) as connection:
        while time.monotonic() < deadline:
            assert exchange(connection, "GET", path, headers=_HEADERS).status == 200
            count += 1
    return cpu_used(before, cpu_seconds(gateway.pid)) / count * 1e6


def _upstream(servers: Servers) -> int:
    return int(_get(servers.sized, "/requests"))


def _get(server: Server, path: str) -> Any:
    response = send(server.address, "GET", path, headers=_HEADERS)
    if response.status != 200:
        raise RuntimeError(f"{path} was answered with {response.status}: {response.body}")
    return response.body
