"""A stand-in for both backends that can be slow, large, and counts: asyncio, one process or one thread of its own."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from tests.performance.bodies import cmdb_envelope, cmdb_page, cmdb_row, projectman_created, projectman_page

#: The business, or the project, is the number of modules in it; their ids count from one.
_MODULES: Final = re.compile(r"/v4/projects/0*(\d+)/modules\?limit=(\d+)&offset=(\d+)")
_PROJECT_CREATE: Final = re.compile(r"/v4/projects/\w+/module")
_COUNT: Final = "/requests"


def project(modules: int) -> str:
    """Return the id of the project that holds so many modules."""
    return f"{modules:032d}"


class Backend:
    """Both backends at one address."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay  # of a create, seconds
        self.requests = 0
        self._ids = itertools.count(1_000_000)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer request after request until the caller hangs up."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)
                body = await reader.readexactly(int(length[1])) if length else b""
                path = head.split(" ", 2)[1]
                answer = await self._answer(path, body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
                    len(answer), answer
                ))  # fmt: skip
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    async def _answer(self, path: str, body: bytes) -> bytes:
        if path == _COUNT:
            return json.dumps(self.requests).encode()
        self.requests += 1
        if (listed := _MODULES.match(path)) is not None:
            return _tree(*map(int, listed.groups()))
        sent = json.loads(body)
        if path.endswith("/search_module/"):
            return _search(sent["bk_biz_id"], sent["page"]["limit"], json.dumps(sent["condition"].get("bk_module_id")))
        await asyncio.sleep(self.delay)
        if _PROJECT_CREATE.match(path):
            return _bytes(projectman_created(next(self._ids), sent["module_name"]))
        return _bytes(cmdb_envelope(cmdb_row(next(self._ids), sent["data"]["bk_module_name"])))


@cache
def _tree(total: int, limit: int, offset: int) -> bytes:
    return _bytes(projectman_page(total, range(offset + 1, min(offset + limit, total) + 1)))


@cache
def _search(total: int, limit: int, condition: str) -> bytes:
    wanted = json.loads(condition)
    if isinstance(wanted, int):
        return _bytes(cmdb_page(1, range(wanted, wanted + 1)))
    after = wanted["$gt"] if wanted else 0
    return _bytes(cmdb_page(total, range(after + 1, min(after + limit, total) + 1)))


def _bytes(document: Any) -> bytes:
    return json.dumps(document).encode()


async def _listen(backend: Backend, port: int) -> asyncio.Server:
    return await asyncio.start_server(backend.serve, "127.0.0.1", port, backlog=4096)


@contextmanager
def in_thread() -> Iterator[str]:
    """Serve from a thread of this process, for the time of a block, at the address that comes back."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(_listen(Backend(), 0), loop).result()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(_close(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _close(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _main(port: int, delay: float) -> None:
    await (await _listen(Backend(delay), port)).serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2])))
