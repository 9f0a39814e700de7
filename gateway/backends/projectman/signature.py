"""SDK-HMAC-SHA256: one HMAC over a canonical form of the request (source: the vendor's SDK, signer/signer.py)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlsplit

_ALGORITHM = "SDK-HMAC-SHA256"


def authorization(method: str, url: str, headers: Mapping[str, str], body: bytes, *, key: tuple[str, str]) -> str:
    """Return the Authorization header; `headers` are all that is signed, with Host and X-Sdk-Date; `key` is AK, SK."""
    parts = urlsplit(url)
    signed = sorted((name.lower(), value.strip()) for name, value in headers.items())
    names = ";".join(name for name, _ in signed)
    canonical = "\n".join(
        [
            method,
            _canonical_path(parts.path),
            _canonical_query(parts.query),
            "".join(f"{name}:{value}\n" for name, value in signed),
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"{_ALGORITHM}\n{dict(signed)['x-sdk-date']}\n{digest}"
    signature = hmac.new(key[1].encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return f"{_ALGORITHM} Access={key[0]}, SignedHeaders={names}, Signature={signature}"


def _canonical_path(path: str) -> str:
    """Quote each segment; the canonical form ends in a slash, the address sent does not."""
    quoted = "/".join(quote(segment, safe="~") for segment in unquote(path).split("/"))
    return quoted if quoted.endswith("/") else f"{quoted}/"


def _canonical_query(query: str) -> str:
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
