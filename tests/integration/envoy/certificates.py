"""A certificate authority of the mesh; its certificates identify a workload by its SPIFFE id."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

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
