"""Without authentication the gateway serves loopback addresses only, however the server was started."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import pytest
from pytest_socket import socket_allow_hosts

from tests.integration.deploy.server_process import (
    CONFIGURED,
    GUNICORN,
    SERVE,
    environment,
    free_port,
    get,
    run_until_exit,
    running,
)  # fmt: skip

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(
    ("arguments", "variables", "shown"),
    [
        ((*CONFIGURED, "-b", "127.0.0.1:0", "-b", "[::]:{port}"), {}, "[::]:{port}"),
        (CONFIGURED, {"GUNICORN_CMD_ARGS": "--bind=0.0.0.0:{port}"}, "0.0.0.0:{port}"),
    ],
)
def test_a_start_that_others_could_reach_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], shown: str
) -> None:
    """The sockets that gunicorn listens on count: one line names those that are not loopback, and the status is 3."""
    port = free_port()
    variables = {name: value.format(port=port) for name, value in variables.items()}
    arguments = tuple(argument.format(port=port) for argument in arguments)
    status, lines = run_until_exit(arguments, environment(tmp_path, **variables))
    assert status == 3
    expected = (
        "configuration: auth.mode: is none, which is allowed on loopback addresses only, and the server listens on "
    )
    assert lines == [expected + shown.format(port=port)]


@pytest.mark.parametrize("bind", ["0.0.0.0:{port}", ":{port}", "[::]:{port}"])
def test_serve_refuses_such_an_address(tmp_path: Path, bind: str) -> None:
    """`serve --bind` is refused in the same way."""
    status, lines = run_until_exit((*SERVE, "--bind", bind.format(port=free_port())), environment(tmp_path))
    assert status == 3
    assert len(lines) == 1
    assert lines[0].startswith("configuration: auth.mode: is none, which is allowed on a loopback address only, ")


@pytest.mark.parametrize(
    "bind", ["127.0.0.1:{port}", "127.8.8.8:{port}", "localhost:{port}", "[::1]:{port}", "unix:{path}"]
)
def test_loopback_and_unix_sockets_are_served(tmp_path: Path, bind: str) -> None:
    """Every loopback address and a Unix socket is local, for the start and for each request."""
    port, path = free_port(), str(tmp_path / "gateway.sock")
    host = bind.rpartition(":")[0].strip("[]").replace("localhost", "127.0.0.1")
    address = (path, 0) if host == "unix" else (host, port)
    arguments = (*CONFIGURED, "-b", bind.format(port=port, path=path))
    with running(arguments, environment(tmp_path), *address):
        status, document = get(*address, "/backends")
        assert (status, [backend["name"] for backend in document["backends"]]) == (200, ["cmdb"])


@pytest.fixture
def own_address() -> str:
    """An IPv4 address of this machine that is not loopback, to which the test may connect; "" if it has none."""
    unreachable = "198.51.100.1"
    socket_allow_hosts([unreachable])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect((unreachable, 9))  # sends nothing; the system chooses the address it would send from
        address: str = probe.getsockname()[0]
        socket_allow_hosts(["127.0.0.1", address])
        return address
    socket_allow_hosts(["127.0.0.1"])
    return ""


def test_a_request_at_another_address_is_refused(tmp_path: Path, own_address: str) -> None:
    """Under a gunicorn without the gateway's hooks, a request's own local address decides, probes included."""
    if not own_address:
        pytest.skip("this machine has loopback addresses only")
    port = free_port()
    with running((*GUNICORN, "-b", f"0.0.0.0:{port}"), environment(tmp_path), "127.0.0.1", port):
        for path in ("/backends", "/livez", "/metrics", "/nothing"):
            status, problem = get(own_address, port, path)
            assert (status, problem["code"]) == (403, "forbidden"), path
        assert get("127.0.0.1", port, "/backends")[0] == 200


def test_with_authentication_every_address_is_served(tmp_path: Path, own_address: str) -> None:
    """With `auth.mode = "required"` the credential decides, not the address."""
    host, port = own_address or "127.0.0.1", free_port()
    arguments = (*CONFIGURED, "-b", f"0.0.0.0:{port}")
    with running(arguments, environment(tmp_path, "0" * 64), "127.0.0.1", port):
        assert get(host, port, "/livez")[0] == 200
        assert get(host, port, "/backends")[0] == 401
