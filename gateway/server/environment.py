"""Reads the environment variables of the server; gateway.settings reads the configuration file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_MAX_WORKERS: Final = 256
_MAX_SECONDS: Final = 3600
_MAX_PORT: Final = 65535
_ADDRESS: Final = re.compile(r"unix:.+|fd://[0-9]+|[^/]*:([0-9]{1,5})")


class InvalidEnvironment(Exception):
    """Variables have unusable values; `errors` has a line for each."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


@dataclass(frozen=True, kw_only=True)
class ServerEnvironment:
    """Address, number of processes and times of the server."""

    bind: str
    admin_bind: str = ""  # empty: no listening socket of its own for probes and metrics
    workers: int
    keepalive_seconds: int
    # GATEWAY_LEAVE_SECONDS: enough are two intervals of the proxies' health checks, and a second more for Envoy, which
    # merges updates of its endpoints (update_merge_window).
    deregister_seconds: float


def read_environment(environ: Mapping[str, str]) -> ServerEnvironment:
    """Return the server's variables; raises InvalidEnvironment with every error."""
    errors: list[str] = []

    def read_number(name: str, default: int, number_type: type[int | float], minimum: int, maximum: int) -> float:
        """Return a variable as a number; add to `errors` if it is not one within the limits."""
        text = environ.get(name, str(default))
        try:
            value = number_type(text)
        except ValueError:
            value = math.nan  # is within no range
        if not minimum <= value <= maximum:
            expected = "an integer" if number_type is int else "a number"
            errors.append(f"{name}: must be {expected} from {minimum} to {maximum}")
        return value

    workers = read_number("GATEWAY_WORKERS", 1, int, 1, _MAX_WORKERS)
    keepalive = read_number("GATEWAY_KEEPALIVE_SECONDS", 75, int, 0, _MAX_SECONDS)
    deregister = read_number("GATEWAY_LEAVE_SECONDS", 0, float, 0, _MAX_SECONDS)
    bind = environ.get("GATEWAY_BIND", "127.0.0.1:8000")
    admin_bind = environ.get("GATEWAY_ADMIN_BIND", "")
    for name, value in (("GATEWAY_BIND", bind), ("GATEWAY_ADMIN_BIND", admin_bind)):
        if name == "GATEWAY_ADMIN_BIND" and not value:
            continue
        address = _ADDRESS.fullmatch(value)
        port = 0 if address is None else int(address[1] or 0)  # only HOST:PORT has a port
        if address is None or port > _MAX_PORT or (name == "GATEWAY_ADMIN_BIND" and value.startswith("fd:")):
            errors.append(f"{name}: must be HOST:PORT or unix:PATH")
    if admin_bind == bind:
        errors.append("GATEWAY_ADMIN_BIND: must be another address than GATEWAY_BIND")
    if errors:
        raise InvalidEnvironment(errors)
    return ServerEnvironment(
        bind=bind,
        admin_bind=admin_bind,
        workers=int(workers),
        keepalive_seconds=int(keepalive),
        deregister_seconds=deregister,
    )
