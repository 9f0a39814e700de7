import json
import re
import shutil
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.performance import bodies, nginx
from tests.performance.servers import Server, free_address, serving

_MISSING = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[Server]:
    address = free_address()
    command = nginx.write(tmp_path / "nginx", nginx.stand_in(address))
    with serving(command, address, tmp_path / "log", ready="/ready") as server:
        yield server


def ask(server: Server, path: str, body: str | None = None) -> Any:
    connection = HTTPConnection(server.address, timeout=5)
    connection.request("GET" if body is None else "POST", path, body)
    reply = connection.getresponse()
    told = reply.read()
    connection.close()
    assert reply.status == 200, told
    return json.loads(told)


def test_a_long_answer_is_cut_into_words_that_nginx_takes() -> None:
    """No word is longer than 4,096 bytes, whatever its letters; together they are the document."""
    document = {"text": "模块" * 1000, "other": "x" * 5000}
    words = re.findall(r"set \$piece\d+ '([^']*)';", nginx._answer(document))
    assert len(words) > 1
    assert all(len(word.encode()) < 4096 for word in words)
    assert json.loads("".join(words)) == document


@pytest.mark.loopback
@pytest.mark.skipif(_MISSING, reason="nginx is not installed")
def test_creates_are_answered_with_their_own_name(stand_in: Server) -> None:
    """The fixed reply carries the name that was sent and an id that no other create was given, on both backends."""
    sent = [bodies.CMDB_DIRECT.replace(bodies.UNIQUE, number) for number in ("1", "2")]
    told = [ask(stand_in, bodies.CMDB_CREATE, body)["data"] for body in sent]
    path = f"/v4/projects/{bodies.PROJECT}/module"
    told += [ask(stand_in, path, json.dumps({"module_name": name})) for name in ("m3", "m4")]
    assert [each.get("bk_module_name", each.get("module_name")) for each in told] == ["m1", "m2", "m3", "m4"]
    ids = [each.get("bk_module_id", each.get("module_id")) for each in told]
    assert all(isinstance(each, int) for each in ids)
    assert len(set(ids)) == 4


@pytest.mark.loopback
@pytest.mark.skipif(_MISSING, reason="nginx is not installed")
def test_a_search_for_one_is_told_from_a_page(stand_in: Server) -> None:
    """A search with a limit of one finds the module that is read, any other a page; a project lists the same."""
    found = [
        [row["bk_module_id"] for row in ask(stand_in, bodies.CMDB_SEARCH, body)["data"]["info"]]
        for body in ('{"page": {"start": 0, "limit": 1, "sort": "x"}}', '{"page": {"start": 0, "limit": 11}}')
    ]
    assert found == [[bodies.READ], list(range(bodies.READ, bodies.READ + bodies.LISTED))]
    listed = ask(stand_in, f"/v4/projects/{bodies.PROJECT}/modules?limit=100&offset=0")
    assert [node["module_id"] for node in listed["modules"]] == found[1]


@pytest.mark.loopback
@pytest.mark.skipif(_MISSING, reason="nginx is not installed")
def test_the_proxy_passes_on(stand_in: Server, tmp_path: Path) -> None:
    """What the plain proxy answers is the stand-in's."""
    address = free_address()
    command = nginx.write(tmp_path / "proxy", nginx.proxy(address, stand_in.address))
    with serving(command, address, tmp_path / "log2", ready="/ready") as proxy:
        assert ask(proxy, bodies.CMDB_CREATE, bodies.CMDB_DIRECT)["data"]["bk_module_name"] == f"m{bodies.UNIQUE}"
