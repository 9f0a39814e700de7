"""The settings that every connection has: timeouts, limits and the circuit breaker."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

from marshmallow import ValidationError

from gateway.settings import Secret, SettingsSchema
from gateway.settings.fields import CaFile, Integer, Number, SecretText
from gateway.transport.proxy import Proxy


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """Timeouts, limits and the circuit breaker of one connection."""

    connect_seconds: float = 3.0
    hard_timeout_seconds: float = 35.0  # connecting, sending, headers and body together
    max_reply_bytes: int = 8 * 1024 * 1024
    ca_file: str | None = None  # certificates of private authorities; None: the public authorities
    proxy_url: Secret | None = None  # of an egress proxy; it may contain a password. None: connections are direct
    idle_seconds: float = 15.0  # how long an idle connection stays open
    requests_per_second: float = 0.0  # 0: no limit
    concurrent_calls: int = 1000  # of one process; each holds a socket and the memory of a reply
    queued_calls: int = 1000  # that wait for one of the concurrent calls to end
    circuit_failures: int = 10  # consecutive failures that open the circuit breaker; 0: never
    circuit_seconds: float = 10.0  # the first pause of an open circuit; the next ones double, up to 60


_SETTING_NAMES: Final = frozenset(field.name for field in dataclasses.fields(TransportSettings))


class _ProxyUrl(SecretText):
    """The URL of a proxy; only one with credentials in it causes a warning."""

    def __init__(self) -> None:
        host = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
        super().__init__(
            rf"[Hh][Tt][Tt][Pp]://([^/@\s?#]+@)?{host}(:[0-9]{{1,5}})?/?",
            "a URL such as http://user:password@proxy:3128",
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Secret:
        self._warn_if_literal = isinstance(value, str) and "@" in value
        secret = super()._deserialize(value, attr, data, **kwargs)
        try:
            Proxy.parse(secret.value)
        except ValueError:  # the port is too large
            raise ValidationError("must have a port of at most 65535") from None
        return secret


class TransportSchema(SettingsSchema):
    """The base class of a backend's OptionsSchema, whose `target` has a field `limits` for the TransportSettings."""

    connect_seconds = Number()
    hard_timeout_seconds = Number()
    ca_file = CaFile()
    proxy_url = _ProxyUrl()
    idle_seconds = Number(allow_zero=True)
    requests_per_second = Number(maximum=1e6, allow_zero=True)
    concurrent_calls = Integer(maximum=100_000)
    queued_calls = Integer(maximum=100_000, allow_zero=True)
    circuit_failures = Integer(maximum=100_000, allow_zero=True)
    circuit_seconds = Number()

    def build(self, values: dict[str, Any]) -> Any:
        """Return the backend's options, with the settings of this class as their `limits`."""
        limits = TransportSettings(**{name: values.pop(name) for name in _SETTING_NAMES & values.keys()})
        return super().build({**values, "limits": limits})
