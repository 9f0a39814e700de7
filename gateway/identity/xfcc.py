"""Client certificates that a trusted proxy reports in X-Forwarded-Client-Cert.

The format is Envoy's: elements separated by commas, one for each proxy, the last one from the nearest proxy. An element
is a list of key=value pairs separated by semicolons; values with a separator are quoted. Only the last element is
trusted, because the proxy passes on the earlier ones as it received them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Final

from gateway.domain.callers import Caller
from gateway.domain.errors import Unauthenticated
from gateway.domain.messages import message

_UNIX_SOCKET: Final = "unix"
_MAX_HEADER_LENGTH: Final = 16_384
_PAIR: Final = r'[A-Za-z]+=(?:"(?:[^"\\]|\\.)*"|[^",;]*)'
_PAIR_RE: Final = re.compile(_PAIR)
_ELEMENT: Final = re.compile(rf"{_PAIR}(?:;{_PAIR})*")


class TrustedProxies:
    """The clients whose headers about the request's origin are trusted; judged by the connection, never by a header."""

    def __init__(self, proxies: Sequence[str]) -> None:
        """`proxies` are IP addresses, networks, or "unix" for a Unix socket."""
        self._trusts_unix_socket = _UNIX_SOCKET in proxies
        self._networks = tuple(ip_network(proxy) for proxy in proxies if proxy != _UNIX_SOCKET)

    def __contains__(self, remote_addr: str) -> bool:
        """Return whether the address of a connected client, empty on a Unix socket, is that of a trusted proxy."""
        if not remote_addr:
            return self._trusts_unix_socket
        try:
            address = ip_address(remote_addr)
        except ValueError:
            return False
        # A socket that listens on IPv6 and IPv4 tells an IPv4 address as ::ffff:a.b.c.d.
        plain_address = getattr(address, "ipv4_mapped", None) or address
        return any(plain_address in network for network in self._networks)


class XfccAuthenticator:
    """Authenticates callers by the URI of their certificate."""

    def __init__(self, trusted_proxies: Sequence[str], callers_by_uri: Mapping[str, Caller]) -> None:
        """`trusted_proxies` are IP networks or "unix"; `callers_by_uri` has the SPIFFE ids of the callers."""
        self._trusted_proxies = TrustedProxies(trusted_proxies)
        self._callers_by_uri = callers_by_uri

    def find_caller(self, client_cert: str, remote_addr: str) -> Caller | None:
        """Return the caller of a certificate; None if `client_cert` is empty or the client is no trusted proxy.

        Raises Unauthenticated unless exactly one caller has a URI of the certificate.
        """
        if not client_cert or remote_addr not in self._trusted_proxies:
            return None
        uris = last_element_uris(client_cert)
        matches = {caller.name: caller for uri in uris if (caller := self._callers_by_uri.get(uri)) is not None}
        if len(matches) != 1:
            reason = {"refused": "client certificate", "uris": uris, "callers": sorted(matches)}
            raise Unauthenticated(message("certificate_unknown"), reason=reason)
        return next(iter(matches.values()))


def last_element_uris(header: str) -> tuple[str, ...]:
    """Return the URIs of the last element; none if any part of the header is malformed, or if it is too long."""
    if len(header) > _MAX_HEADER_LENGTH:
        return ()
    last_element, position = "", 0
    # `<=`: after a trailing comma one more element is expected, and its absence is malformed.
    while position <= len(header):
        match = _ELEMENT.match(header, position)
        if match is None or (match.end() < len(header) and header[match.end()] != ","):
            return ()
        last_element, position = match[0], match.end() + 1  # past the comma
    # Every pair is matched, not only URI=…, because a quoted value of another key may contain the text URI=….
    pairs = (pair.partition("=") for pair in _PAIR_RE.findall(last_element))
    return tuple(value[1:-1] if value.startswith('"') else value for key, _, value in pairs if key.upper() == "URI")
