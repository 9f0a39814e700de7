"""SDK-HMAC-SHA256: one HMAC over a canonical form of the request (source: the vendor's SDK, signer/signer.py)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

_ALGORITHM: Final = "SDK-HMAC-SHA256"
_EMPTY_BODY_SHA256: Final = hashlib.sha256(b"").hexdigest()
#: A path that quoting does not change, as those of the gateway's own requests.
_SAFE_PATH: Final = re.compile(r"[A-Za-z0-9_.~/-]*", re.ASCII)
#: How many canonical forms are cached. Queries, of which there is one for each offset, have a cache of their own.
_MAX_PATHS: Final = 1024
_MAX_QUERIES: Final = 256


def authorization_header(
    method: str, url: str, headers: Mapping[str, str], body: bytes, *, key: tuple[str, str]
) -> str:
    """Return the Authorization header of a request.

    `headers` are all headers to sign, including Host and X-Sdk-Date; `key` is the access key and the secret key.
    """
    address, _, query = url.partition("#")[0].partition("?")
    signed_headers, names, date_name = _signed_headers(tuple(headers))
    header_lines = "".join([f"{lower_name}:{headers[name].strip()}\n" for lower_name, name in signed_headers])
    body_hash = hashlib.sha256(body).hexdigest() if body else _EMPTY_BODY_SHA256
    canonical = f"{method}\n{_canonical_path(address)}\n{_canonical_query(query)}\n{header_lines}\n{names}\n{body_hash}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    string_to_sign = f"{_ALGORITHM}\n{headers[date_name].strip()}\n{digest}"
    signature = hmac.digest(key[1].encode(), string_to_sign.encode(), "sha256").hex()
    return f"{_ALGORITHM} Access={key[0]}, SignedHeaders={names}, Signature={signature}"


@lru_cache(maxsize=16)
def _signed_headers(names: tuple[str, ...]) -> tuple[tuple[tuple[str, str], ...], str, str]:
    """Return each lower-case name with the name as given, in signing order; the joined names; the name of the date."""
    order = tuple(sorted((name.lower(), name) for name in names))
    return order, ";".join(lower_name for lower_name, _ in order), dict(order)["x-sdk-date"]


@lru_cache(maxsize=_MAX_PATHS)
def _canonical_path(address: str) -> str:
    """Return the path with each segment quoted; it ends in a slash, which the path that is sent need not."""
    path = urlsplit(address).path
    if not _SAFE_PATH.fullmatch(path):
        path = "/".join(quote(segment, safe="~") for segment in unquote(path).split("/"))
    return path if path.endswith("/") else f"{path}/"


@lru_cache(maxsize=_MAX_QUERIES)
def _canonical_query(query: str) -> str:
    # urlsplit() removes tabs and line feeds, as it does from the path.
    pairs = sorted(parse_qsl(urlsplit(f"?{query}").query, keep_blank_values=True))
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
