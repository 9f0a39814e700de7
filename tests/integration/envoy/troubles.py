"""What can go wrong between the gateway and a backend when a sidecar stands there, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tests.integration.envoy.resources import FAULT, FAULT_TYPE, Json

#: Troubles strike while this runtime value is 100.
SWITCH: Final = "mesh.troubles"


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What goes wrong between the gateway and a backend, for creates whose request id begins with `name` and a dot."""

    name: str
    delay: float = 0.0  # before the request leaves the sidecar; seconds
    abort: int = 0  # the status that the sidecar answers with instead
    timeout: float = 0.0  # after which the sidecar gives up
    twin: str = ""  # what the backend itself does: a twin's fault
    slowly: bool = False  # the reply comes at 1 KiB/s
    comes: bool = True  # the write takes effect, now or later

    @property
    def route(self) -> Json:
        """Return the route of the creates that it strikes, but for where it leads."""
        faults: dict[str, Any] = {"@type": FAULT_TYPE}
        always = {"numerator": 100}
        if self.delay:
            faults["delay"] = {"fixed_delay": f"{self.delay}s", "percentage": always}
        if self.abort:
            faults["abort"] = {"http_status": self.abort, "percentage": always}
        if self.slowly:
            faults["response_rate_limit"] = {"fixed_limit": {"limit_kbps": 1}, "percentage": always}
        twin = [{"header": {"key": "X-Twin-Fault", "value": self.twin}}] if self.twin else []
        return {
            **({"typed_per_filter_config": {FAULT: faults}} if len(faults) > 1 else {}),
            "request_headers_to_add": twin,
        }

    @property
    def match(self) -> Json:
        """Return which requests it strikes: creates of both backends, as long as faults are on."""
        return {
            "headers": [
                {"name": ":method", "string_match": {"exact": "POST"}},
                {"name": ":path", "string_match": {"safe_regex": {"regex": ".*/(create_module/?|module)"}}},
                {"name": "x-request-id", "string_match": {"prefix": f"{self.name}."}},
            ],
            "runtime_fraction": {"default_value": {"numerator": 100}, "runtime_key": SWITCH},
        }


TROUBLES: Final = (
    Trouble(name="none"),
    Trouble(name="abort-503", abort=503, comes=False),
    Trouble(name="abort-500", abort=500, comes=False),
    Trouble(name="abort-429", abort=429, comes=False),
    Trouble(name="late", delay=1.0),
    Trouble(name="too-late", delay=60.0, comes=False),  # than the hard timeout: it never leaves
    Trouble(name="late-503", delay=1.0, abort=503, comes=False),
    Trouble(name="slow-reply", slowly=True),
    Trouble(name="gives-up-early", timeout=0.5, twin="delay;seconds=1.5"),  # the write comes after the sidecar's 504
    Trouble(name="gives-up-late", timeout=0.5, twin="delay;seconds=1.5;when=after"),  # it has come before
    Trouble(name="lost", twin="drop;effect=never", comes=False),
    Trouble(name="lost-reply", twin="drop;effect=now"),  # the sidecar's 503 covers a write that was made
    Trouble(name="reset-reply", twin="reset;effect=now"),
    Trouble(name="lost-late", twin="drop;effect=late;seconds=1"),
    Trouble(name="cut-reply", twin="truncate"),
)
