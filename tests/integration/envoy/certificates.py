"""A certificate authority of the mesh; its certificates identify a workload by its SPIFFE id."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFETIME: Final = dt.timedelta(hours=1)


@dataclass(frozen=True)
class SidecarIdentity:
    """The PEM files of one sidecar: its certificate, its key, and its trusted authority."""

    certificate: Path
    key: Path
    authority: Path

    @property
    def context(self) -> Mapping[str, Any]:
        """Return Envoy's CommonTlsContext with this certificate and the authority as trusted CA."""
        pair = {
            "certificate_chain": {"filename": str(self.certificate)},
            "private_key": {"filename": str(self.key)},
        }
        return {
            "tls_certificates": [pair],
            "validation_context": {"trusted_ca": {"filename": str(self.authority)}},
        }


class Authority:
    """Issues certificates that are valid for an hour."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the mesh")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._builder(self._key.public_key()).subject_name(self._name)
        signed = certificate.add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())
        self._path = self._write("authority.pem", signed.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, spiffe: str) -> SidecarIdentity:
        """Issue a certificate whose only subject alternative name is this URI."""
        key = ec.generate_private_key(ec.SECP256R1())
        uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe)])
        builder = self._builder(key.public_key()).subject_name(x509.Name([])).add_extension(uri, critical=True)
        signed = builder.sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return SidecarIdentity(
            self._write(f"{name}.pem", signed.public_bytes(serialization.Encoding.PEM)),
            self._write(f"{name}.key", private),
            self._path,
        )

    def _builder(self, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _LIFETIME)
            .not_valid_after(now + _LIFETIME)
        )

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        return path
