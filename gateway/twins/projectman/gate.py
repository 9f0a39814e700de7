"""Tells who is asking, by signature or by token, as the API gateway does before ProjectMan sees a request."""

from typing import Final
from urllib.parse import quote

from flask import Request

from .refusals import unauthenticated
from .seed import IamUser
from .signature import SCHEME, SignedRequest
from .world import World

NOBODY: Final = "x-auth-token not found"


def admit(world: World, request: Request) -> IamUser:
    """Return the user; a signature is judged first, so that a token cannot hide a bad one. Raises APIGW.030x."""
    if request.headers.get("Authorization", "").startswith(SCHEME):
        return world.keys.signer(_as_signed(request))
    token = request.headers.get("X-Auth-Token")
    if not token:
        raise unauthenticated(NOBODY)
    return world.tokens.holder(token)


def _as_signed(request: Request) -> SignedRequest:
    return SignedRequest(
        method=request.method,
        path=quote(request.path),  # the server decoded it; encoded again it signs alike, however it was written
        query=request.query_string.decode("latin-1"),
        headers={name.lower(): _unfold(value) for name, value in request.headers.items()},
        body=request.get_data(),
    )


def _unfold(value: str) -> str:
    """WSGI hands header bytes over as Latin-1; the client signed them as UTF-8."""
    return value.encode("latin-1").decode("utf-8", "replace").strip()
