import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import http_client
from tests.performance import messages, nginx
from tests.performance.servers import Server, free_address, run_nginx

needs_nginx = pytest.mark.skipif(not nginx.PROGRAM, reason="nginx is not installed")


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Server]:
    address = free_address()
    with run_nginx(tmp_path / "stub", address, nginx.backend_stub(address)) as server:
        yield server


def send(server: Server, path: str, body: str | None = None) -> Any:
    content = None if body is None else body.encode()
    response = http_client.send(server.address, "POST" if body else "GET", path, content)
    assert response.status == 200, response
    return response.body


def test_long_document_is_split_into_words() -> None:
    """No word is longer than 4,096 bytes, whatever its characters; together they are the document."""
    document = {"text": "模块" * 1000, "other": "x" * 5000}
    words = re.findall(r"set \$chunk\d+ '([^']*)';", nginx._return_json(document))
    assert len(words) > 1
    assert all(len(word.encode()) < 4096 for word in words)
    assert json.loads("".join(words)) == document


@pytest.mark.loopback
@needs_nginx
def test_create_returns_the_name_of_the_request(stub: Server) -> None:
    """The response has the name of the request and a unique id, on both backends."""
    requests = [messages.DIRECT_CREATE.body.replace(messages.UNIQUE, number) for number in ("1", "2")]
    modules = [send(stub, messages.CMDB_CREATE, body)["data"] for body in requests]
    path = f"/v4/projects/{messages.PROJECT}/module"
    modules += [send(stub, path, json.dumps({"module_name": name})) for name in ("m3", "m4")]
    assert [module.get("bk_module_name", module.get("module_name")) for module in modules] == ["m1", "m2", "m3", "m4"]
    ids = [module.get("bk_module_id", module.get("module_id")) for module in modules]
    assert all(isinstance(module_id, int) for module_id in ids)
    assert len(set(ids)) == 4


@pytest.mark.loopback
@needs_nginx
def test_search_with_limit_1_returns_one_module(stub: Server) -> None:
    """A search with any other limit returns a page; the list of a project has the same ids."""
    ids = [
        [row["bk_module_id"] for row in send(stub, messages.CMDB_SEARCH, body)["data"]["info"]]
        for body in ('{"page": {"start": 0, "limit": 1, "sort": "x"}}', '{"page": {"start": 0, "limit": 11}}')
    ]
    assert ids == [[messages.READ_ID], list(range(messages.READ_ID, messages.READ_ID + messages.PAGE_LENGTH))]
    page = send(stub, f"/v4/projects/{messages.PROJECT}/modules?limit=100&offset=0")
    assert [node["module_id"] for node in page["modules"]] == ids[1]


@pytest.mark.loopback
@needs_nginx
def test_proxy(stub: Server, tmp_path: Path) -> None:
    """The proxy returns the response of the stub."""
    address, create = free_address(), messages.DIRECT_CREATE
    with run_nginx(tmp_path / "proxy", address, nginx.proxy(address, stub.address)) as proxy:
        assert send(proxy, create.path, create.body)["data"]["bk_module_name"] == f"m{messages.UNIQUE}"
