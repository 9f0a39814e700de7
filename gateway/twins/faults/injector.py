"""Applies the faults that the rules choose to the requests, writes and responses of one twin."""

import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

from flask import Flask, Request, Response, g, has_app_context, request

from gateway.twins.faults.fault_types import (
    COMMON_FAULT_TYPES,
    DELAY,
    RESPONSE,
    TRANSPORT,
    WRITE_KINDS,
    Fault,
    FaultType,
)
from gateway.twins.faults.rules import FaultCatalog, FaultQueue, InvalidRuleError
from gateway.twins.server import ON_CLOSE_KEY, SEND_PLANS_KEY, SendPlan

HEADER: Final = "X-Twin-Fault"
RESET: Final = ("POST", "/twin/reset")  # method and path
# The control endpoints of the injector: they are not counted, need no credentials, and no fault applies to them.
CONTROL_ENDPOINTS: Final = frozenset({"post_rules", "get_rules", "delete_rules", "get_attempts"})
# Each delayed write holds a thread.
MAX_DELAYED_WRITES: Final = 256
MAX_ATTEMPTS: Final = 100_000  # the oldest are dropped
_HTML_PAGE: Final = "<!DOCTYPE html>\n<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>\n"

ResponseFactory = Callable[[Mapping[str, Any]], Response]
Key = TypeVar("Key")
Value = TypeVar("Value")
_Result = TypeVar("_Result")


class WriteSuppressed(Exception):
    """The operation is not carried out now; the fault provides the response."""


class SleepInterrupted(ConnectionAbortedError):
    """A reset or the server's shutdown ended the sleep; the connection is closed."""


class InterruptibleSleep:
    """Sleeps in real time that `interrupt` ends early."""

    def __init__(self) -> None:
        self._interrupted = threading.Event()

    def sleep(self, seconds: float) -> None:
        """Sleep; raises SleepInterrupted."""
        if self._interrupted.wait(timeout=seconds):
            raise SleepInterrupted

    def interrupt(self) -> None:
        """End all current sleeps; later sleeps wait for a new event."""
        current, self._interrupted = self._interrupted, threading.Event()
        current.set()


class DelayedWrites:
    """Writes that are applied after their response, each by a timer thread.

    `rule_error` is raised by a write that the backend's rules reject.
    """

    def __init__(self, app: Flask, rule_error: type[Exception]) -> None:
        self._app = app
        self._rule_error = rule_error
        self._lock = threading.Lock()
        self._timers: dict[int, threading.Timer] = {}
        self._last_timer_id = 0
        self._performed = 0
        self._refused: list[str] = []

    def schedule(self, seconds: float, perform: Callable[[], object]) -> None:
        """Call `perform` after `seconds` in a new application context; refuse it if too many writes are waiting."""
        with self._lock:
            if len(self._timers) >= MAX_DELAYED_WRITES:
                self._refused.append(f"{MAX_DELAYED_WRITES} late writes are waiting already")
                return
            self._last_timer_id += 1
            timer = threading.Timer(seconds, self._apply, (self._last_timer_id, perform))
            timer.daemon = True
            self._timers[self._last_timer_id] = timer
            timer.start()

    def cancel(self) -> None:
        """Drop all writes and counts; no write is running or scheduled when this returns."""
        with self._lock:
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()
            self._refused.clear()
            self._performed = 0

    def to_dict(self) -> dict[str, Any]:
        """Return how many writes are waiting and applied, and the errors of those that the backend rejected."""
        with self._lock:
            return {"waiting": len(self._timers), "performed": self._performed, "refused": list(self._refused)}

    def _apply(self, timer_id: int, perform: Callable[[], object]) -> None:
        with self._lock, self._app.app_context():  # the lock is held throughout, so that cancel() waits for the write
            if self._timers.pop(timer_id, None) is None:
                return  # cancel() came first
            try:
                perform()
                self._performed += 1
            except self._rule_error as error:
                self._refused.append(" ".join(map(str, error.args)))


@dataclass(frozen=True)
class ActiveFaults:
    """The faults that apply to the current request or delayed write, by category."""

    faults: Mapping[str, Fault] = field(default_factory=dict)
    delayed_writes: DelayedWrites | None = None

    @property
    def labels(self) -> list[str]:
        """The names of the faults for the ledger."""
        return sorted(fault.label for fault in self.faults.values())

    def seconds(self, category: str) -> float:
        """Return the parameter `seconds` of the fault in this category, or 0 without such a fault."""
        fault = self.faults.get(category)
        return float(fault.parameters["seconds"]) if fault else 0.0


_NO_FAULTS: Final = ActiveFaults()


def active_faults() -> ActiveFaults:
    """Return the faults of the current request or delayed write; none outside of both."""
    faults: ActiveFaults = g.get("active_faults", _NO_FAULTS) if has_app_context() else _NO_FAULTS
    return faults


def commit_write(perform: Callable[[], _Result]) -> _Result:
    """Apply a write now and return its result, or schedule it and raise WriteSuppressed.

    `perform` checks the backend's rules and applies the write; a late write is checked when it is applied.
    """
    current = active_faults()
    fault = current.faults.get(RESPONSE)
    if current.delayed_writes is None or fault is None or fault.effect != "late":
        return perform()

    def perform_late() -> None:
        g.active_faults = ActiveFaults(current.faults)  # the timer has a `g` of its own
        perform()

    current.delayed_writes.schedule(fault.parameters["seconds"], perform_late)
    raise WriteSuppressed


def fault_labels() -> list[str]:
    """Return the names of the active faults for the ledger."""
    return active_faults().labels


def read_lag_seconds() -> float:
    """Return for how many seconds reads must not see the current write."""
    return active_faults().seconds("read-lag")


def skewed_clock(clock: Callable[[], datetime]) -> Callable[[], datetime]:
    """Return a clock that is off by the skew of the current request."""
    return lambda: clock() + timedelta(seconds=active_faults().seconds("clock-skew"))


class ReadLag(Generic[Key, Value]):
    """Shows rows as a replica with a lag does; the store that holds the rows calls it under its lock."""

    def __init__(self) -> None:
        self._hidden: list[tuple[float, Mapping[Key, Value | None]]] = []  # end of the lag, old rows

    def hide(self, seconds: float, old_rows: Mapping[Key, Value | None]) -> None:
        """Show `old_rows`, the rows before a write, for `seconds`; None stands for a row that did not exist."""
        self._hidden.append((time.monotonic() + seconds, old_rows))

    def visible(self, rows: dict[Key, Value]) -> dict[Key, Value]:
        """Return the rows that reads see: `rows` itself if nothing is hidden."""
        now = time.monotonic()
        self._hidden = [(ends_at, old_rows) for ends_at, old_rows in self._hidden if ends_at > now]
        if not self._hidden:
            return rows
        visible: dict[Key, Value | None] = {**rows}
        for _, old_rows in reversed(self._hidden):  # of a row that was written twice, the oldest state is shown
            visible |= old_rows
        return {key: value for key, value in visible.items() if value is not None}


class WriteAttemptLog:
    """The writes that arrived, applied or not; thread-safe. `name_field` holds the module's name in a body."""

    def __init__(self, name_field: str) -> None:
        self._name_field = name_field
        self._lock = threading.Lock()
        self._attempts: deque[dict[str, Any]] = deque(maxlen=MAX_ATTEMPTS)

    def record(self, operation: str, request: Request, fault_labels: list[str]) -> None:
        """Record a write. Of the body only the module's name and a digest are kept, because it may hold credentials."""
        body = request.get_data()
        attempt = {
            "at": datetime.now(UTC).isoformat(),
            "operation": operation,
            "path": request.path,
            "name": self._find_name(body),
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "request_id": request.headers.get("X-Request-Id"),
            "faults": fault_labels,
        }
        with self._lock:
            self._attempts.append(attempt)

    def clear(self) -> None:
        """Remove all attempts."""
        with self._lock:
            self._attempts.clear()

    def to_list(self) -> list[dict[str, Any]]:
        """Return the attempts, oldest first."""
        with self._lock:
            return list(self._attempts)

    def _find_name(self, body: bytes) -> str | None:
        """Return the module's name from a JSON body, at the top level or under `data`."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict):
            return None
        for fields in (document, document.get("data")):
            if isinstance(fields, dict) and isinstance(fields.get(self._name_field), str):
                return str(fields[self._name_field])
        return None


@dataclass(frozen=True)
class FaultProfile:
    """What the injector needs to know of a backend."""

    operations: Mapping[str, str]  # the twin's name of an operation → its kind; "other" is none of OPERATION_KINDS
    name_field: str  # the field of a create or update that holds the module's name
    rule_error: type[Exception]  # raised for a write that the backend's rules reject
    fault_types: tuple[FaultType, ...] = ()
    responses: Mapping[str, ResponseFactory] = field(default_factory=dict)
    side_effects: Mapping[str, Callable[[], None]] = field(default_factory=dict)  # by category; before the operation


class FaultInjector:
    """The faults of one twin; `rules` are those of its seed. Raises InvalidRuleError."""

    def __init__(self, app: Flask, profile: FaultProfile, rules: object = ()) -> None:
        self._profile = profile
        fault_types = {fault_type.name: fault_type for fault_type in (*COMMON_FAULT_TYPES, *profile.fault_types)}
        self._queue = FaultQueue(FaultCatalog(fault_types, profile.operations))
        self._queue.add(rules)
        self._responses = {**_COMMON_RESPONSES, **profile.responses}
        self._delays = InterruptibleSleep()
        self._delayed_writes = DelayedWrites(app, profile.rule_error)
        self._attempts = WriteAttemptLog(profile.name_field)
        for path, endpoint, view, method in (
            ("/twin/faults", "post_rules", self._post_rules, "POST"),
            ("/twin/faults", "get_rules", self._get_rules, "GET"),
            ("/twin/faults", "delete_rules", self._delete_rules, "DELETE"),
            ("/twin/attempts", "get_attempts", self._get_attempts, "GET"),
        ):
            app.add_url_rule(path, endpoint, view, methods=[method], provide_automatic_options=False)
        app.before_request(self._clear_on_reset)
        app.after_request(self._after_request)
        app.register_error_handler(WriteSuppressed, lambda _: Response())  # never sent, see _after_request
        app.register_error_handler(InvalidRuleError, lambda error: ({"error": str(error)}, HTTPStatus.BAD_REQUEST))
        app.extensions[ON_CLOSE_KEY] = self._end_waits

    def before_operation(self, operation: str | None) -> None:
        """Apply the faults that come before the operation; raises WriteSuppressed if it must not be carried out."""
        if operation is None or operation not in self._profile.operations:
            return
        request.get_data()  # a client must have sent the whole request before any fault
        faults = self._queue.match(operation, request.headers.get(HEADER), has_token="X-Auth-Token" in request.headers)
        g.active_faults = current = ActiveFaults(faults, self._delayed_writes)
        if self._profile.operations[operation] in WRITE_KINDS:
            self._attempts.record(operation, request, current.labels)
        for category in faults.keys() & self._profile.side_effects:
            self._profile.side_effects[category]()
        is_interrupted = not self._delay("before")
        fault = faults.get(RESPONSE)
        if is_interrupted or (fault and fault.effect == "never"):
            raise WriteSuppressed

    def _after_request(self, response: Response) -> Response:
        """Wait, replace the response and choose how it is sent, as far as the active faults demand it."""
        self._delay("after")
        faults = active_faults().faults
        response_fault = faults.get(RESPONSE)
        if response_fault and response_fault.type.name in self._responses:
            response = self._responses[response_fault.type.name](response_fault.parameters)
        for fault in (response_fault, faults.get(TRANSPORT)):
            if fault and fault.type.name in _PLAN_FACTORIES:
                body_length = response.calculate_content_length() or 0
                plan = _PLAN_FACTORIES[fault.type.name](fault.parameters, body_length, self._delays.sleep)
                self._add_send_plan(plan)
        return response

    def _delay(self, when: str) -> bool:
        """Sleep if a fault says so; return False, and let the connection be closed, if the sleep was interrupted."""
        fault = active_faults().faults.get(DELAY)
        if fault and fault.parameters["when"] == when:
            try:
                self._delays.sleep(fault.parameters["seconds"])
            except SleepInterrupted:
                self._add_send_plan(SendPlan(max_bytes=0))
                return False
        return True

    def _add_send_plan(self, plan: SendPlan) -> None:
        """Pass a plan to the server; Flask's test client provides no list for it and sends every response whole."""
        request.environ.get(SEND_PLANS_KEY, []).append(plan)

    def _post_rules(self) -> tuple[dict[str, Any], int]:
        try:
            document = json.loads(request.get_data())
        except (ValueError, RecursionError):
            raise InvalidRuleError("the body is not JSON") from None
        return {"faults": self._queue.add(document)}, HTTPStatus.CREATED

    def _get_rules(self) -> dict[str, Any]:
        return {**self._queue.to_dict(), "late_writes": self._delayed_writes.to_dict()}

    def _delete_rules(self) -> Response:
        self._queue.clear()
        return Response(status=HTTPStatus.NO_CONTENT)

    def _get_attempts(self) -> dict[str, Any]:
        return {"attempts": self._attempts.to_list()}

    def _clear_on_reset(self) -> None:
        """Clear all state if the request resets the twin, before its view loads the seed again."""
        if (request.method, request.path) == RESET:
            self._queue.clear()
            self._end_waits()
            self._attempts.clear()

    def _end_waits(self) -> None:
        """End all delays and drop the delayed writes."""
        self._delays.interrupt()
        self._delayed_writes.cancel()


def _status_response(parameters: Mapping[str, Any]) -> Response:
    status = parameters["status"]
    title = f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)
    bodies = {
        "empty": ("", "text/plain"),
        "html": (_HTML_PAGE.format(title), "text/html"),
        "json": (json.dumps({"message": title}), "application/json"),
    }
    text, mimetype = bodies[parameters["body"]]
    return Response(text, status, mimetype=mimetype)


def _redirect_response(parameters: Mapping[str, Any]) -> Response:
    headers = {"Location": parameters["location"]}
    return Response(_HTML_PAGE.format("302 Found"), HTTPStatus.FOUND, headers, mimetype="text/html")


# Responses of proxies, load balancers and login pages in the backend's place.
_COMMON_RESPONSES: Final[Mapping[str, ResponseFactory]] = {
    "html": lambda _: Response(_HTML_PAGE.format("Sign in"), mimetype="text/html"),
    "status": _status_response,
    "redirect": _redirect_response,
}

# Takes the fault's parameters, the length of the body and the function that sleeps.
_PlanFactory = Callable[[Mapping[str, Any], int, Callable[[float], None]], SendPlan]
_PLAN_FACTORIES: Final[Mapping[str, _PlanFactory]] = {
    "drop": lambda _, __, ___: SendPlan(max_bytes=0),
    "reset": lambda parameters, _, __: SendPlan(max_bytes=parameters["byte"], with_rst=True),
    "truncate": lambda parameters, body_length, _: SendPlan(
        max_bytes=body_length // 2 if parameters["bytes"] is None else parameters["bytes"], of_body=True
    ),
    "drip": lambda parameters, _, sleep: SendPlan(
        chunk_size=parameters["bytes"], interval_seconds=parameters["seconds"], sleep=sleep
    ),
}
