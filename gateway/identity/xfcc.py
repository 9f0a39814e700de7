"""Certificates as a proxy has seen them: X-Forwarded-Client-Cert, believed from a trusted hop alone.

The format is Envoy's: elements separated by commas, one for each hop, the last written by the nearest one; in each
element pairs of key and value separated by semicolons, values quoted where they hold a separator. Only the nearest
hop's element counts: what it passes on of earlier ones is hearsay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Final

from gateway.domain.callers import Caller
from gateway.domain.errors import Unauthenticated

_UNIX: Final = "unix"
_LONGEST: Final = 16_384
_PAIR: Final = r'[A-Za-z]+=(?:"(?:[^"\\]|\\.)*"|[^",;]*)'
_PAIRS: Final = re.compile(_PAIR)
_ELEMENT: Final = re.compile(rf"{_PAIR}(?:;{_PAIR})*")


class XfccAuthenticator:
    """The callers that are known by the URI of their certificate."""

    def __init__(self, trusted_hops: Sequence[str], callers: Mapping[str, Caller]) -> None:
        self._unix = _UNIX in trusted_hops
        self._networks = tuple(ip_network(hop) for hop in trusted_hops if hop != _UNIX)
        self._callers = callers

    def caller(self, client_cert: str, peer: str) -> Caller | None:
        """Return whose certificate it is; None where nothing was told, or by somebody who is not believed."""
        if not client_cert or not self._trusts(peer):
            return None
        uris = last_element_uris(client_cert)
        found = {caller.name: caller for uri in uris if (caller := self._callers.get(uri)) is not None}
        if len(found) != 1:
            raise Unauthenticated("The certificate belongs to no caller.")
        return next(iter(found.values()))

    def _trusts(self, peer: str) -> bool:
        if not peer:
            return self._unix
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def last_element_uris(header: str) -> tuple[str, ...]:
    """Return the URIs of the last element; none where the header is malformed anywhere."""
    last, at = "", 0
    if len(header) > _LONGEST:
        return ()
    while at <= len(header):
        match = _ELEMENT.match(header, at)
        if match is None or (match.end() < len(header) and header[match.end()] != ","):
            return ()
        last, at = match[0], match.end() + 1
    # Pair by pair from the beginning, for a quoted subject may hold what looks like another pair.
    pairs = (pair.partition("=") for pair in _PAIRS.findall(last))
    return tuple(value[1:-1] if value.startswith('"') else value for key, _, value in pairs if key.upper() == "URI")
