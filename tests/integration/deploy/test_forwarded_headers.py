"""No request header changes the mount point, the path, the user or the scheme of a request."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.integration.deploy.server_process import CONFIGURED, environment, free_port, get, running

pytestmark = pytest.mark.loopback
KEY = ("X-Api-Key", "key")
#: Headers that gunicorn may take from a local proxy into the environment of the application.
HEADERS = [
    [("SCRIPT_NAME", "/livez")],
    [("Script_Name", "/nothing")],
    [("SCRIPT-NAME", "/livez")],
    [("PATH_INFO", "/livez")],
    [("REMOTE_USER", "portal")],
    [("X_Api_Key", "other")],
    [("X-Forwarded-Proto", "https")],
    [("X-Forwarded-Proto", "http"), ("X-Forwarded-Ssl", "on")],
    [("X-Forwarded-Prefix", "/livez")],
]


@pytest.fixture(scope="module", params=["TCP", "unix"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A gateway whose caller has the key `key`, in the most trusting environment, at a local address."""
    folder, port = tmp_path_factory.mktemp("gateway"), free_port()
    path = str(folder / "gateway.sock")
    bind, address = (
        (f"127.0.0.1:{port}", ("127.0.0.1", port)) if request.param == "TCP" else (f"unix:{path}", (path, 0))
    )
    environ = environment(folder, sha256(b"key").hexdigest(), FORWARDED_ALLOW_IPS="*")
    with running((*CONFIGURED, "-b", bind), environ, *address):
        yield address


@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_headers_of_a_local_proxy(
    socket_enabled: None, address: tuple[str, int], headers: list[tuple[str, str]]
) -> None:
    """With any of these headers the answers are the same as without them: routes, identity and errors."""
    for path in ("/backends", "/livez", "/livez/backends", "/nothing"):
        expected = get(*address, path, KEY, ("X-Request-Id", "r"))
        assert get(*address, path, KEY, ("X-Request-Id", "r"), *headers) == expected, path
    assert get(*address, "/backends", *headers)[0] == 401
    assert get(*address, "/livez/backends", KEY, *headers)[0] == 404


def test_the_mount_point_of_the_server(tmp_path: Path) -> None:
    """SCRIPT_NAME of the server's own environment is the mount point, and a header changes nothing about it."""
    port = free_port()
    environ = environment(tmp_path, SCRIPT_NAME="/gateway", GATEWAY_BIND=f"127.0.0.1:{port}")
    with running(CONFIGURED, environ, "127.0.0.1", port):
        for headers in ([], [("SCRIPT_NAME", "/gateway/backends")], [("SCRIPT_NAME", "/x")]):
            assert get("127.0.0.1", port, "/gateway/backends", *headers)[0] == 200
