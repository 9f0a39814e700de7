"""What web frontends and the counting of requests need: the tables [cors] and [limits]."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from gateway.settings.table import Secret, Table

#: Browsers leave the scheme's own port out.
_ORIGIN: Final = re.compile(
    r"http://(?!.*:80$)HOST|https://(?!.*:443$)HOST".replace(
        "HOST", r"([a-z0-9.-]+|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?"
    ),
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class CorsConfig:
    """Whose pages may call, as browsers name them: exactly these origins."""

    origins: tuple[str, ...] = ()
    max_age_seconds: float = 600.0  # so long a browser need not ask again


@dataclass(frozen=True, slots=True)
class RateLimitConfig:
    """Where requests are counted: in each worker, or in Redis for all of them."""

    storage: Secret  # an address may hold a password


def read_cors(table: Table) -> CorsConfig:
    """Read [cors]; an origin that no browser would send is a mistake."""
    origins = table.texts("origins")
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            table.wrong(
                "origins", f"{origin} is no origin: scheme, host in lower case, no usual port, path or wildcard"
            )
    found = CorsConfig(origins, table.number("max_age_seconds", 600.0))
    table.done()
    return found


def read_limits(table: Table) -> RateLimitConfig:
    """Read [limits]."""
    pattern = r"memory://|rediss?://.+"
    storage = table.text("storage", "memory://", pattern=pattern, shape="memory:// or redis://HOST:PORT/DB")
    if storage.startswith("redis") and find_spec("redis") is None:
        table.wrong("storage", "needs the extra: pip install module-gateway[redis]")
    table.done()
    return RateLimitConfig(Secret(storage))
