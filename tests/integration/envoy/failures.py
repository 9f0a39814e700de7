"""Failures between the gateway and a backend that are caused by the sidecar, the twin or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tests.integration.envoy.resources import FAULT, FAULT_TYPE, Json

#: Failures are enabled while this runtime value is 100.
RUNTIME_KEY: Final = "mesh.failures"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failure of creates whose request id begins with `name` and a dot."""

    name: str
    delay: float = 0.0  # seconds before the sidecar forwards the request
    abort: int = 0  # status of the sidecar's own response
    timeout: float = 0.0  # of the sidecar, in seconds
    twin: str = ""  # fault of the twin
    slow_response: bool = False  # the response is limited to 1 KiB/s
    applied: bool = True  # the write takes effect, now or later

    @property
    def route(self) -> Json:
        """Return the route of the failing creates, without its cluster."""
        faults: dict[str, Any] = {"@type": FAULT_TYPE}
        always = {"numerator": 100}
        if self.delay:
            faults["delay"] = {"fixed_delay": f"{self.delay}s", "percentage": always}
        if self.abort:
            faults["abort"] = {"http_status": self.abort, "percentage": always}
        if self.slow_response:
            faults["response_rate_limit"] = {"fixed_limit": {"limit_kbps": 1}, "percentage": always}
        twin = [{"header": {"key": "X-Twin-Fault", "value": self.twin}}] if self.twin else []
        return {
            **({"typed_per_filter_config": {FAULT: faults}} if len(faults) > 1 else {}),
            "request_headers_to_add": twin,
        }

    @property
    def match(self) -> Json:
        """Return the match of the failing requests: creates in both backends while failures are enabled."""
        return {
            "headers": [
                {"name": ":method", "string_match": {"exact": "POST"}},
                {"name": ":path", "string_match": {"safe_regex": {"regex": ".*/(create_module/?|module)"}}},
                {"name": "x-request-id", "string_match": {"prefix": f"{self.name}."}},
            ],
            "runtime_fraction": {"default_value": {"numerator": 100}, "runtime_key": RUNTIME_KEY},
        }


FAILURES: Final = (
    Failure(name="none"),
    Failure(name="abort-503", abort=503, applied=False),
    Failure(name="abort-500", abort=500, applied=False),
    Failure(name="abort-429", abort=429, applied=False),
    Failure(name="late", delay=1.0),
    Failure(name="too-late", delay=60.0, applied=False),  # exceeds the hard timeout: the request is never forwarded
    Failure(name="late-503", delay=1.0, abort=503, applied=False),
    Failure(name="slow-reply", slow_response=True),
    Failure(name="gives-up-early", timeout=0.5, twin="delay;seconds=1.5"),  # applied after the sidecar's 504
    Failure(name="gives-up-late", timeout=0.5, twin="delay;seconds=1.5;when=after"),  # applied before the 504
    Failure(name="lost", twin="drop;effect=never", applied=False),
    Failure(name="lost-reply", twin="drop;effect=now"),  # the sidecar answers 503 to a write that was applied
    Failure(name="reset-reply", twin="reset;effect=now"),
    Failure(name="lost-late", twin="drop;effect=late;seconds=1"),
    Failure(name="cut-reply", twin="truncate"),
)
