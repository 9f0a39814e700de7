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
_NO_BODY: Final = hashlib.sha256(b"").hexdigest()
#: What quoting leaves as it is: every path of ours, whatever ids are in it; so those that push others out cost little.
_UNQUOTED: Final = re.compile(r"[A-Za-z0-9_.~/-]*", re.ASCII)
#: So many canonical forms are kept: of the paths, and apart from them of the queries, one for each offset.
_PATHS: Final = 1024
_QUERIES: Final = 256


def authorization(method: str, url: str, headers: Mapping[str, str], body: bytes, *, key: tuple[str, str]) -> str:
    """Return the Authorization header; `headers` are all that is signed, with Host and X-Sdk-Date; `key` is AK, SK."""
    address, _, query = url.partition("#")[0].partition("?")
    order, names, date = _order(tuple(headers))
    signed = "".join([f"{name}:{headers[given].strip()}\n" for name, given in order])
    content = hashlib.sha256(body).hexdigest() if body else _NO_BODY
    canonical = f"{method}\n{_canonical_path(address)}\n{_canonical_query(query)}\n{signed}\n{names}\n{content}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"{_ALGORITHM}\n{headers[date].strip()}\n{digest}"
    signature = hmac.digest(key[1].encode(), to_sign.encode(), "sha256").hex()
    return f"{_ALGORITHM} Access={key[0]}, SignedHeaders={names}, Signature={signature}"


@lru_cache(maxsize=16)
def _order(given: tuple[str, ...]) -> tuple[tuple[tuple[str, str], ...], str, str]:
    """Return each name as it is signed and as it was given, in the order of signing; the names as one; the date's."""
    order = tuple(sorted((name.lower(), name) for name in given))
    return order, ";".join(name for name, _ in order), dict(order)["x-sdk-date"]


@lru_cache(maxsize=_PATHS)
def _canonical_path(address: str) -> str:
    """Quote each segment; the canonical form ends in a slash, the address sent does not."""
    path = urlsplit(address).path
    if not _UNQUOTED.fullmatch(path):
        path = "/".join(quote(segment, safe="~") for segment in unquote(path).split("/"))
    return path if path.endswith("/") else f"{path}/"


@lru_cache(maxsize=_QUERIES)
def _canonical_query(query: str) -> str:
    pairs = sorted(parse_qsl(urlsplit(f"?{query}").query, keep_blank_values=True))
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
