"""A request to ProjectMan's twin, signed as the facts describe."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse


def signed(client: FlaskClient, method: str, path: str, document: Any = None) -> TestResponse:
    """Send a document, signed with the key pair that every twin accepts; the path must not need quoting."""
    body = b"" if document is None else json.dumps(document).encode()
    headers = {"host": "localhost", "x-sdk-date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")}
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"{method}\n{path}/\n\n{lines}\nhost;x-sdk-date\n{hashlib.sha256(body).hexdigest()}"
    to_sign = f"SDK-HMAC-SHA256\n{headers['x-sdk-date']}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(b"SKTEST", to_sign.encode(), hashlib.sha256).hexdigest()
    claim = f"SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders=host;x-sdk-date, Signature={signature}"
    return client.open(
        path, method=method, data=body, headers={**headers, "Authorization": claim, "Content-Type": "application/json"}
    )
