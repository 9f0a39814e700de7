"""A stub for both backends on asyncio: delays creates, holds scopes of any size, counts its requests."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
from functools import cache
from typing import Any, Final

from tests.performance.messages import cmdb_envelope, cmdb_page, cmdb_row, projectman_created, projectman_page

#: The id of a project or business is the number of its modules; module ids start at one.
_MODULES: Final = re.compile(r"/v4/projects/0*(\d+)/modules\?limit=(\d+)&offset=(\d+)")
_PROJECT_CREATE: Final = re.compile(r"/v4/projects/\w+/module")
_COUNT: Final = "/requests"


def project(modules: int) -> str:
    """Return the id of the project that holds this number of modules."""
    return f"{modules:032d}"


class BackendStub:
    """Both backends at one address."""

    def __init__(self, delay: float) -> None:
        self.delay = delay  # of a create, seconds
        self.requests = 0
        self._ids = itertools.count(1_000_000)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests until the client closes the connection."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)
                body = await reader.readexactly(int(length[1])) if length else b""
                path = head.split(" ", 2)[1]
                content = await self._respond(path, body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
                    len(content), content
                ))  # fmt: skip
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    async def _respond(self, path: str, body: bytes) -> bytes:
        if path == _COUNT:
            return json.dumps(self.requests).encode()
        self.requests += 1
        if (match := _MODULES.match(path)) is not None:
            return _tree(*map(int, match.groups()))
        arguments = json.loads(body)
        if path.endswith("/search_module/"):
            condition = json.dumps(arguments["condition"].get("bk_module_id"))
            return _search(arguments["bk_biz_id"], arguments["page"]["limit"], condition)
        await asyncio.sleep(self.delay)
        if _PROJECT_CREATE.match(path):
            return _bytes(projectman_created(next(self._ids), arguments["module_name"]))
        return _bytes(cmdb_envelope(cmdb_row(next(self._ids), arguments["data"]["bk_module_name"])))


@cache
def _tree(total: int, limit: int, offset: int) -> bytes:
    return _bytes(projectman_page(total, range(offset + 1, min(offset + limit, total) + 1)))


@cache
def _search(total: int, limit: int, condition: str) -> bytes:
    module_id = json.loads(condition)
    if isinstance(module_id, int):
        return _bytes(cmdb_page(1, range(module_id, module_id + 1)))
    after = module_id["$gt"] if module_id else 0
    return _bytes(cmdb_page(total, range(after + 1, min(after + limit, total) + 1)))


def _bytes(document: Any) -> bytes:
    return json.dumps(document).encode()


async def _main(port: int, delay: float) -> None:
    server = await asyncio.start_server(BackendStub(delay).serve, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2])))
