import json
import re
import shutil
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.performance import bodies, nginx
from tests.performance.servers import Server, free_address, run_server

_MISSING = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Server]:
    address = free_address()
    command = nginx.write_config(tmp_path / "nginx", nginx.backend_stub(address))
    with run_server(command, address, tmp_path / "log", ready="/ready") as server:
        yield server


def send(server: Server, path: str, body: str | None = None) -> Any:
    connection = HTTPConnection(server.address, timeout=5)
    connection.request("GET" if body is None else "POST", path, body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    assert response.status == 200, content
    return json.loads(content)


def test_long_document_is_split_into_words() -> None:
    """No word is longer than 4,096 bytes, whatever its characters; together they are the document."""
    document = {"text": "模块" * 1000, "other": "x" * 5000}
    words = re.findall(r"set \$chunk\d+ '([^']*)';", nginx._return_json(document))
    assert len(words) > 1
    assert all(len(word.encode()) < 4096 for word in words)
    assert json.loads("".join(words)) == document


@pytest.mark.loopback
@pytest.mark.skipif(_MISSING, reason="nginx is not installed")
def test_create_returns_the_name_of_the_request(stub: Server) -> None:
    """The response has the name of the request and a unique id, on both backends."""
    requests = [bodies.CMDB_DIRECT.replace(bodies.UNIQUE, number) for number in ("1", "2")]
    modules = [send(stub, bodies.CMDB_CREATE, body)["data"] for body in requests]
    path = f"/v4/projects/{bodies.PROJECT}/module"
    modules += [send(stub, path, json.dumps({"module_name": name})) for name in ("m3", "m4")]
    assert [module.get("bk_module_name", module.get("module_name")) for module in modules] == ["m1", "m2", "m3", "m4"]
    ids = [module.get("bk_module_id", module.get("module_id")) for module in modules]
    assert all(isinstance(module_id, int) for module_id in ids)
    assert len(set(ids)) == 4


@pytest.mark.loopback
@pytest.mark.skipif(_MISSING, reason="nginx is not installed")
def test_search_with_limit_1_returns_one_module(stub: Server) -> None:
    """A search with any other limit returns a page; the list of a project has the same ids."""
    ids = [
        [row["bk_module_id"] for row in send(stub, bodies.CMDB_SEARCH, body)["data"]["info"]]
        for body in ('{"page": {"start": 0, "limit": 1, "sort": "x"}}', '{"page": {"start": 0, "limit": 11}}')
    ]
    assert ids == [[bodies.READ_ID], list(range(bodies.READ_ID, bodies.READ_ID + bodies.PAGE_LENGTH))]
    page = send(stub, f"/v4/projects/{bodies.PROJECT}/modules?limit=100&offset=0")
    assert [node["module_id"] for node in page["modules"]] == ids[1]


@pytest.mark.loopback
@pytest.mark.skipif(_MISSING, reason="nginx is not installed")
def test_proxy(stub: Server, tmp_path: Path) -> None:
    """The proxy returns the response of the stub."""
    address = free_address()
    command = nginx.write_config(tmp_path / "proxy", nginx.proxy(address, stub.address))
    with run_server(command, address, tmp_path / "log2", ready="/ready") as proxy:
        assert send(proxy, bodies.CMDB_CREATE, bodies.CMDB_DIRECT)["data"]["bk_module_name"] == f"m{bodies.UNIQUE}"
