"""Verification of SDK-HMAC-SHA256 signatures, without knowledge of users and time; source: facts, section 3b."""

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
_CONTENT_HASH_HEADER: Final = "x-sdk-content-sha256"
# The body of a request with one of these content types must be signed.
_SIGNED_CONTENT_TYPES: Final = ("application/json", "application/bson")
_AUTHORIZATION: Final = re.compile(
    SCHEME
    + r" Access=(?P<access_key>[^,\s]+), ?SignedHeaders=(?P<names>[^,\s]+), ?Signature=(?P<signature>[0-9a-f]{64})",
)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as sent: path and query percent-encoded, header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class SignatureHeader(NamedTuple):
    """The fields of the Authorization header."""

    access_key: str
    signed_headers: tuple[str, ...]
    signature: str


def parse_authorization(authorization: str) -> SignatureHeader | None:
    """Parse the header; returns None if it does not have the documented format."""
    match = _AUTHORIZATION.fullmatch(authorization)
    if match is None:
        return None
    return SignatureHeader(match["access_key"], tuple(match["names"].split(";")), match["signature"])


def is_signature_valid(request: SignedRequest, header: SignatureHeader, secret: str) -> bool:
    """Return whether the signature is that of this request with `secret`."""
    if not set(header.signed_headers) >= REQUIRED_HEADERS or not _is_declared_hash_valid(request):
        return False
    if not all(name in request.headers for name in header.signed_headers):
        return False
    return hmac.compare_digest(sign(request, header.signed_headers, secret), header.signature)


def sign(request: SignedRequest, signed_headers: tuple[str, ...], secret: str) -> str:
    """Return the signature in hex: one HMAC, no derived key."""
    digest = hashlib.sha256(canonical_request(request, signed_headers).encode()).hexdigest()
    string_to_sign = "\n".join([SCHEME, request.headers["x-sdk-date"], digest])
    return hmac.new(secret.encode(), string_to_sign.encode(), hashlib.sha256).hexdigest()


def canonical_request(request: SignedRequest, signed_headers: tuple[str, ...]) -> str:
    """Return the canonical request, whose six parts are signed."""
    parts = [
        request.method,
        _canonical_path(request.path),
        _canonical_query(request.query),
        "".join(f"{name}:{request.headers[name]}\n" for name in signed_headers),
        ";".join(signed_headers),
        _body_hash(request),
    ]
    return "\n".join(parts)


def _canonical_path(raw: str) -> str:
    path = "/".join(quote(segment, safe="~") for segment in unquote(raw).split("/"))
    return path if path.endswith("/") else path + "/"  # the path of the request itself has no slash at the end


def _canonical_query(raw: str) -> str:
    pairs = [pair.partition("=") for pair in raw.split("&") if pair]
    decoded = sorted((unquote(key), unquote(value)) for key, _, value in pairs)
    return "&".join(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in decoded)


def _body_hash(request: SignedRequest) -> str:
    """Return the hash in the canonical request: the declared one, except for an empty body."""
    declared_hash = request.headers.get(_CONTENT_HASH_HEADER)
    return declared_hash if declared_hash and request.body else hashlib.sha256(request.body).hexdigest()


def _is_declared_hash_valid(request: SignedRequest) -> bool:
    """Return whether the declared hash, if there is one, is that of the body.

    UNSIGNED-PAYLOAD in its place is valid for the content types whose body need not be signed.
    """
    declared_hash = request.headers.get(_CONTENT_HASH_HEADER)
    if not declared_hash or not request.body:
        return True
    if declared_hash == UNSIGNED_PAYLOAD:
        return not request.headers.get("content-type", "").startswith(_SIGNED_CONTENT_TYPES)
    return hmac.compare_digest(declared_hash, hashlib.sha256(request.body).hexdigest())
