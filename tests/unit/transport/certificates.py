"""A certificate for 127.0.0.1 that no public authority has signed, made with openssl."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

_KEY_TYPE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def create_certificate(folder: Path, *, extension: str = "subjectAltName=IP:127.0.0.1") -> Path:
    """Return a file with a certificate and its key; the common name is localhost."""
    file, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", *_KEY_TYPE, "-days", "2", "-subj", "/CN=localhost", "-addext", extension]
    subprocess.run([*command, "-keyout", str(key), "-out", str(file)], check=True, capture_output=True)
    file.write_text(file.read_text() + key.read_text())
    return file


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
