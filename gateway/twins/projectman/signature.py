"""Rebuilds and checks an SDK-HMAC-SHA256 signature from a request as it arrived; it knows no users and no clock."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

SCHEME: Final = "SDK-HMAC-SHA256"
REQUIRED_HEADERS: Final = frozenset({"host", "x-sdk-date"})
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
_CONTENT_HASH: Final = "x-sdk-content-sha256"
# The content types whose body is always part of the signature.
_SIGNED_TYPES: Final = ("application/json", "application/bson")
_AUTHORIZATION: Final = re.compile(
    SCHEME
    + r" Access=(?P<access_key>[^,\s]+), ?SignedHeaders=(?P<names>[^,\s]+), ?Signature=(?P<signature>[0-9a-f]{64})",
)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it stood on the wire: path and query undecoded, header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class Claim(NamedTuple):
    """What the Authorization header says."""

    access_key: str
    signed_headers: tuple[str, ...]
    signature: str


def read_claim(authorization: str) -> Claim | None:
    """Read the header, or return None where it is not of the documented form."""
    match = _AUTHORIZATION.fullmatch(authorization)
    if match is None:
        return None
    return Claim(match["access_key"], tuple(match["names"].split(";")), match["signature"])


def is_genuine(request: SignedRequest, claim: Claim, secret: str) -> bool:
    """Say whether the claim was made with `secret` over exactly this request."""
    if not set(claim.signed_headers) >= REQUIRED_HEADERS or not _payload_is_covered(request):
        return False
    if not all(name in request.headers for name in claim.signed_headers):
        return False
    return hmac.compare_digest(sign(request, claim.signed_headers, secret), claim.signature)


def sign(request: SignedRequest, names: tuple[str, ...], secret: str) -> str:
    """Return the signature in hex: one HMAC, no derived key."""
    digest = hashlib.sha256(canonical_request(request, names).encode()).hexdigest()
    text = "\n".join([SCHEME, request.headers["x-sdk-date"], digest])
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def canonical_request(request: SignedRequest, names: tuple[str, ...]) -> str:
    """Write the request down in the six parts that are signed (facts, section 3b)."""
    headers = "".join(f"{name}:{request.headers[name]}\n" for name in names)
    parts = [request.method, _path(request.path), _query(request.query), headers, ";".join(names), _payload(request)]
    return "\n".join(parts)


def _path(raw: str) -> str:
    path = "/".join(quote(segment, safe="~") for segment in unquote(raw).split("/"))
    return path if path.endswith("/") else path + "/"  # only here; the request itself has no such slash


def _query(raw: str) -> str:
    pairs = [pair.partition("=")[::2] for pair in raw.split("&") if pair]
    decoded = sorted((unquote(key), unquote(value)) for key, value in pairs)
    return "&".join(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in decoded)


def _payload(request: SignedRequest) -> str:
    declared = request.headers.get(_CONTENT_HASH)
    return declared if declared and request.body else hashlib.sha256(request.body).hexdigest()


def _payload_is_covered(request: SignedRequest) -> bool:
    """Refuse a declared hash that is not the body's, and an unsigned body where the type asks for a signed one."""
    declared = request.headers.get(_CONTENT_HASH)
    if not declared or not request.body:
        return True
    if declared == UNSIGNED_PAYLOAD:
        return not request.headers.get("content-type", "").startswith(_SIGNED_TYPES)
    return hmac.compare_digest(declared, hashlib.sha256(request.body).hexdigest())
