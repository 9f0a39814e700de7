"""The client: the calls of the API, each repeated by the rules of `rules.py` until its timeout."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from ssl import SSLCertVerificationError
from types import TracebackType
from typing import Any, Final, Self, cast
from urllib.parse import quote

import requests
from requests.auth import AuthBase
from requests.exceptions import ConnectTimeout, RequestException
from urllib3.exceptions import HTTPError, IncompleteRead, MaxRetryError, NewConnectionError, SSLError

from gateway.client import rules
from gateway.client.errors import ApiError, OutcomeUnknown, client_problem, create_error
from gateway.client.models import (
    BackendSummary,
    BatchItem,
    BatchItemResult,
    BatchResult,
    Change,
    Draft,
    IfExists,
    LookupItem,
    Module,
    Operation,
    Patch,
    Preview,
    Problem,
)
from gateway.client.rules import Action, Event, Kind

USER_AGENT: Final = f"module-gateway-client/{version('module-gateway')}"
_CONNECT_SECONDS: Final = 5.0
#: How long a connection may be idle and still be used: less than gateways and proxies keep one open.
_IDLE_SECONDS: Final = 20.0
_FIRST_POLL_SECONDS: Final = 0.25  # between two looks at an operation; doubled each time
_MAX_POLL_SECONDS: Final = 2.0
_CHANGES_WAIT_SECONDS: Final = 25
_LIVE_STATES: Final = frozenset({"sending", "reconciling"})
_PROBLEM_MEMBERS: Final = frozenset({"code", "detail", "outcome", "retryable", "status"})
_NO_CONTENT: Final = 204
_JSON: Final = "application/json"
#: Why an item of a batch was not started, if a repetition can start it; "parent" follows its parent.
_WILL_START: Final = frozenset({"deadline", "draining"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request with everything that its repetitions share."""

    method: str
    path: str
    kind: Kind
    member: str | None = None  # what the document of a success contains; None: there is none
    query: Mapping[str, Any] = field(default_factory=dict)
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_write(self) -> bool:
        return self.kind is not Kind.READ


@dataclass(frozen=True, slots=True)
class _Failure:
    """An attempt that did not succeed."""

    event: Event
    problem: Problem
    retry_after: float | None = None
    is_from_gateway: bool = False


class _Credential(AuthBase):
    """Adds the credential; as an `auth` object, because requests replaces a plain header by one from .netrc."""

    def __init__(self, api_key: str | None, token: str | Callable[[], str] | None) -> None:
        self._api_key = api_key
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = self._token() if callable(self._token) else self._token
        for name, prefix, value in (("X-Api-Key", "", self._api_key), ("Authorization", "Bearer ", token)):
            if value is not None:
                request.headers[name] = prefix + _checked_secret(value)
        return request


class Client:
    """A client of one gateway, for one thread at a time.

    `token` is a JWT, or a function that returns one for each request. `timeout` is the longest time that a call takes
    with all its repetitions, `attempt_timeout` that of one request, both in seconds; every method takes another
    `timeout`. `verify` is the path of a private CA. Every method raises ApiError or a subclass of it.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: str | Callable[[], str] | None = None,
        timeout: float = 60.0,
        attempt_timeout: float = 15.0,
        verify: str | bool = True,
        user_agent: str = USER_AGENT,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"the URL must begin with http:// or https://, not {url!r}")
        self._timeout = timeout
        self._attempt_timeout = attempt_timeout
        self._sleep = sleep
        self._last_used = 0.0  # on time.monotonic()
        self._session = requests.Session()
        self._session.auth = _Credential(api_key, token)
        self._session.verify = verify
        self._session.headers.update({"User-Agent": user_agent, "Accept": f"{_JSON}, application/problem+json"})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    # Modules

    def create(
        self,
        draft: Draft,
        *,
        if_exists: IfExists = "error",
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Module:
        """Create a module and return it.

        Each call has an `Idempotency-Key` of its own; its repetitions use the same one. Give the key of an
        OutcomeUnknown to continue that create, however much later (the gateway keeps it for 24 hours).
        """
        call = self._create_call("/modules", draft, "id", {"if_exists": if_exists}, idempotency_key)
        return cast("Module", self._request(call, timeout))

    def preview(self, draft: Draft, *, if_exists: IfExists = "error", timeout: float | None = None) -> Preview:
        """Return what a create would do, without creating anything."""
        query = {"if_exists": if_exists, "validate_only": "true"}
        call = _Call(method="POST", path="/modules", kind=Kind.READ, member="would", query=query, body=draft)
        return cast("Preview", self._request(call, timeout))

    def get(self, module_id: str, *, timeout: float | None = None) -> Module:
        """Return a module."""
        return cast("Module", self._read(f"/modules/{_segment(module_id)}", "id", timeout=timeout))

    def list(
        self,
        backend: str,
        scope: str,
        *,
        parent: str | None = None,
        name: str | None = None,
        include_built_in: bool = False,
        page_size: int = 200,
    ) -> Iterator[Module]:
        """Yield the modules of a scope; the pages are read as they are needed."""
        include = "built_in" if include_built_in else None
        query = {"backend": backend, "scope": scope, "parent": parent, "name": name, "include": include}
        return self._pages("/modules", "modules", query, page_size)

    def update(
        self, module_id: str, changes: Patch, *, if_match: str | None = None, timeout: float | None = None
    ) -> Module:
        """Change a module and return it.

        `if_match` is the `etag` that the module must still have. With it, a lost answer is no loss: the update is
        repeated, and where the etag no longer holds, a read shows whether the update was applied. Without it, and for
        a description, which etags do not cover on every backend, nothing proves that: OutcomeUnknown.
        """
        call = _change_call("PATCH", module_id, if_match, body=changes, can_prove="description" not in changes)
        try:
            return cast("Module", self._request(call, timeout))
        except OutcomeUnknown as error:
            if call.kind is Kind.GUARDED_CHANGE and error.code == "precondition_failed":
                module = self.get(module_id, timeout=timeout)
                if all(_holds(module, name, value) for name, value in changes.items()):
                    return module
            raise

    def delete(
        self, module_id: str, *, cascade: bool = False, if_match: str | None = None, timeout: float | None = None
    ) -> None:
        """Delete a module, with `cascade` its children too; see `update` for `if_match`."""
        call = _change_call("DELETE", module_id, if_match, query={"cascade": "true"} if cascade else {})
        try:
            self._request(call, timeout)
        except OutcomeUnknown as error:
            if call.kind is not Kind.GUARDED_CHANGE or error.code != "module_not_found":
                raise

    def batch(
        self,
        items: Sequence[BatchItem],
        *,
        defaults: Draft | None = None,
        if_exists: IfExists = "error",
        idempotency_key: str | None = None,
        resume: bool = True,
        timeout: float | None = None,
    ) -> BatchResult:
        """Create up to 100 modules and return what became of each.

        An item without a `ref` gets its index. With `resume`, the items that a repetition can still create are
        repeated until the timeout; without it, the first answer is returned. Raises an ApiError only if no answer came
        that tells of the items, or the gateway refused the batch as a whole.
        """
        key, deadline = idempotency_key or new_key(), self._deadline(timeout)
        pending = [cast("BatchItem", {"ref": str(index), **item}) for index, item in enumerate(items)]
        by_ref = {item["ref"]: item for item in pending}
        results: dict[str, BatchItemResult] = {}
        attempt = 0
        while True:
            body = {"items": pending} if defaults is None else {"defaults": defaults, "items": pending}
            call = self._create_call("/modules:batch", body, "items", {"if_exists": if_exists}, key)
            try:
                document = cast("BatchResult", self._request(call, max(deadline - time.monotonic(), 0.0)))
            except ApiError:
                if not results:
                    raise
                break  # the results of the answer before are the last that is known
            results |= {result["ref"]: result for result in document["items"]}
            pending = _repeatable(by_ref, results)
            attempt += 1
            seconds = rules.backoff(attempt, None, random.random())  # noqa: S311 - jitter
            if not (resume and pending) or time.monotonic() + seconds >= deadline:
                break
            self._sleep(seconds)
        ordered = [results[ref] for ref in by_ref]
        return {"summary": cast("Any", _summarize(ordered)), "items": ordered}

    # Operations and changes

    def operation(self, operation_id: str, *, timeout: float | None = None) -> Operation:
        """Return a create and its state; the id may be the `instance` of a problem."""
        return cast("Operation", self._read(_operation_path(operation_id), "state", timeout=timeout))

    def operations(
        self, *, state: str | None = None, backend: str | None = None, scope: str | None = None, page_size: int = 200
    ) -> Iterator[Operation]:
        """Yield the caller's creates, newest first; `state` names one or more states, separated by commas."""
        return self._pages("/operations", "operations", {"state": state, "backend": backend, "scope": scope}, page_size)

    def wait(self, operation_id: str, *, timeout: float | None = None) -> Operation:
        """Return an operation when it is settled; raises OutcomeUnknown if it is not in time."""
        deadline, pause = self._deadline(timeout), _FIRST_POLL_SECONDS
        while True:
            operation = self.operation(operation_id, timeout=max(deadline - time.monotonic(), 0.0))
            if operation["state"] not in _LIVE_STATES:
                return operation
            if time.monotonic() + pause >= deadline:
                detail = f"The operation {operation['id']} is {operation['state']}."
                raise create_error(client_problem("not_settled", detail, "unknown"))
            self._sleep(pause)
            pause = min(pause * 2, _MAX_POLL_SECONDS)

    def resolve(
        self,
        operation_id: str,
        verdict: str,
        reason: str,
        *,
        module: str | None = None,
        timeout: float | None = None,
    ) -> Operation:
        """Settle a create by a person's verdict, `applied` (with the id of the module) or `not_applied`."""
        body = {"verdict": verdict, "reason": reason} | ({} if module is None else {"module": module})
        path = f"{_operation_path(operation_id)}:resolve"
        call = _Call(method="POST", path=path, kind=Kind.CHANGE, member="state", body=body)
        return cast("Operation", self._request(call, timeout))

    def changes(
        self,
        *,
        after: int = 0,
        backend: str | None = None,
        scope: str | None = None,
        module: str | None = None,
        page_size: int = 200,
        follow: bool = False,
    ) -> Iterator[Change]:
        """Yield the entries of the change log after a `seq`, in their order; with `follow`, wait for new ones."""
        query = {"backend": backend, "scope": scope, "module": module, "page_size": page_size}
        headers = {"Prefer": f"wait={_CHANGES_WAIT_SECONDS}"} if follow else {}
        while True:
            page = self._read(
                "/changes", "changes", {**query, "after": after}, headers=headers, attempt_timeout=_CHANGES_WAIT_SECONDS
            )
            yield from page["changes"]
            if not follow and page["next_after"] == after:
                return
            after = page["next_after"]

    # Backends

    def backends(self) -> Sequence[BackendSummary]:
        """Return the connections that the caller may use."""
        return cast("Sequence[BackendSummary]", self._read("/backends", "backends")["backends"])

    def backend(self, name: str) -> dict[str, Any]:
        """Return a connection with its capabilities."""
        return self._read(f"/backends/{_segment(name)}", "fields")

    def scopes(self, backend: str, *, q: str | None = None) -> Iterator[LookupItem]:
        """Yield the scopes of a connection; `q` is a part of the name."""
        return self._pages(f"/backends/{_segment(backend)}/scopes", "items", {"q": q}, 200)

    def parents(self, backend: str, scope: str, *, q: str | None = None) -> Iterator[LookupItem]:
        """Yield what a module of a scope can have as parent."""
        return self._pages(f"/backends/{_segment(backend)}/scopes/{_segment(scope)}/parents", "items", {"q": q}, 200)

    def owners(self, backend: str, scope: str, *, q: str | None = None) -> Iterator[LookupItem]:
        """Yield the owners that a module of a scope can have."""
        return self._pages(f"/backends/{_segment(backend)}/scopes/{_segment(scope)}/owners", "items", {"q": q}, 200)

    # Requests

    def _create_call(self, path: str, body: object, member: str, query: Mapping[str, Any], key: str | None) -> _Call:
        headers = {"Idempotency-Key": key or new_key()}
        return _Call(method="POST", path=path, kind=Kind.CREATE, member=member, query=query, body=body, headers=headers)

    def _read(
        self,
        path: str,
        member: str,
        query: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        attempt_timeout: float = 0.0,
    ) -> dict[str, Any]:
        call = _Call(method="GET", path=path, kind=Kind.READ, member=member, query=query or {}, headers=headers or {})
        return cast("dict[str, Any]", self._request(call, timeout, attempt_timeout))

    def _pages(self, path: str, member: str, query: Mapping[str, Any], page_size: int) -> Iterator[Any]:
        token: str | None = None
        while True:
            page = self._read(path, member, {**query, "page_size": page_size, "page_token": token})
            yield from page[member]
            token = page["next_page_token"]
            if token is None:
                return

    def _deadline(self, timeout: float | None) -> float:
        return time.monotonic() + (self._timeout if timeout is None else timeout)

    def _request(self, call: _Call, timeout: float | None, attempt_timeout: float = 0.0) -> dict[str, Any] | None:
        """Return the document of a success, after as many attempts as rules and timeout allow."""
        deadline, request_id = self._deadline(timeout), new_key()
        longest = self._attempt_timeout + attempt_timeout
        attempt, is_unsettled = 0, False
        while True:
            attempt += 1
            seconds = max(min(deadline - time.monotonic(), longest), 0.001)
            result = self._attempt(call, request_id, seconds)
            if not isinstance(result, _Failure):
                return result
            action = rules.action(result.event, call.kind)
            pause = rules.backoff(attempt, result.retry_after, random.random())  # noqa: S311 - jitter
            if action is Action.FOLLOW and self._follow(result.problem, deadline):
                pause = 0.0
            if action is Action.RAISE or time.monotonic() + pause >= deadline:
                raise self._error(call, result, is_unsettled=is_unsettled)
            is_unsettled |= call.is_write and result.event in rules.UNSETTLED
            self._sleep(pause)

    def _follow(self, problem: Problem, deadline: float) -> bool:
        """Wait until the create of an outcome_unknown is settled; the repetition then says how.

        Return False if it is not settled in time, or the caller may not read it.
        """
        if not problem.get("instance"):
            return False
        try:
            self.wait(problem["instance"], timeout=max(deadline - time.monotonic(), 0.0))
        except ApiError:
            return False
        return True

    def _error(self, call: _Call, failure: _Failure, *, is_unsettled: bool) -> ApiError:
        """Return the exception of the last attempt; what it says holds for the attempts before only if it proves it."""
        problem = failure.problem
        if is_unsettled:
            proof = problem if failure.is_from_gateway and failure.event is Event.FINAL else None
            if call.kind is not Kind.CREATE or not rules.settles_create(proof):
                problem = {**problem, "outcome": "unknown"}
        return create_error(
            problem, retry_after=failure.retry_after, idempotency_key=call.headers.get("Idempotency-Key")
        )

    def _attempt(self, call: _Call, request_id: str, seconds: float) -> dict[str, Any] | _Failure | None:
        """Send a request once."""
        started = time.monotonic()
        if started - self._last_used > _IDLE_SECONDS:
            self._session.close()  # closes idle connections; the next request opens one
        headers = {
            "X-Request-Id": request_id,
            "X-Request-Timeout-Ms": str(max(int(seconds * 1000), 1)),
            **({} if call.body is None else {"Content-Type": _JSON}),
            **call.headers,
        }
        try:
            with self._session.request(
                call.method,
                self.url + call.path,
                params={name: value for name, value in call.query.items() if value is not None},
                data=None if call.body is None else json.dumps(call.body).encode(),
                headers=headers,
                timeout=(min(_CONNECT_SECONDS, seconds), seconds),
                allow_redirects=False,  # a redirected POST becomes a GET
                stream=True,
            ) as response:
                content = _read_content(response, started + seconds)
        except (RequestException, HTTPError, TimeoutError) as error:
            if isinstance(error, ValueError):  # an invalid URL or header: nothing was sent
                raise
            return _connection_failure(call, error, request_id)
        finally:
            self._last_used = time.monotonic()
        return _parse_answer(call, response, content, request_id)


def new_key() -> str:
    """Return a new Idempotency-Key."""
    return uuid.uuid4().hex


def _checked_secret(value: str) -> str:
    """Return a credential; raises ValueError, without the value, if it cannot stand in a header."""
    if not (value.isascii() and value.isprintable() and value):
        raise ValueError("the API key or token must be printable ASCII")
    return value


def _segment(value: str) -> str:
    """Return a value as one segment of a path."""
    if value in {"", ".", ".."}:
        raise ValueError(f"{value!r} is not an id")
    return quote(value, safe="")


def _operation_path(operation_id: str) -> str:
    return f"/operations/{_segment(operation_id.rpartition('/')[2])}"


def _change_call(
    method: str,
    module_id: str,
    if_match: str | None,
    *,
    query: Mapping[str, Any] | None = None,
    body: object = None,
    can_prove: bool = True,
) -> _Call:
    """Return the call of an update or delete."""
    headers: dict[str, str] = {}
    if if_match is not None:
        headers["If-Match"] = "*" if if_match == "*" else f'"{if_match.strip(chr(34))}"'
    kind = Kind.GUARDED_CHANGE if can_prove and if_match not in {None, "*"} else Kind.CHANGE
    path = f"/modules/{_segment(module_id)}"
    member = None if method == "DELETE" else "id"
    return _Call(method=method, path=path, kind=kind, member=member, query=query or {}, body=body, headers=headers)


def _holds(module: Module, name: str, value: Any) -> bool:
    """Return whether a module has the value of a patch."""
    current = cast("Mapping[str, Any]", module).get(name)
    if name == "owners":
        ids = [owner if isinstance(owner, str) else owner["id"] for owner in value or ()]
        return sorted(ids) == sorted(owner["id"] for owner in module["owners"])
    if name == "attributes":
        return all(module["attributes"].get(key) == wanted for key, wanted in value.items())
    return bool(current == (value.strip() if isinstance(value, str) else value))


def _repeatable(by_ref: Mapping[str, BatchItem], results: Mapping[str, BatchItemResult]) -> list[BatchItem]:
    """Return the items that a repetition can still create, with the items above them, in their order."""
    refs: set[str] = set()
    for ref in (ref for ref in by_ref if _can_repeat(ref, by_ref, results)):
        parent: str | None = ref
        while parent is not None and parent not in refs:
            refs.add(parent)
            parent = by_ref[parent].get("parent_ref")
    return [item for ref, item in by_ref.items() if ref in refs]


def _can_repeat(ref: str, by_ref: Mapping[str, BatchItem], results: Mapping[str, BatchItemResult]) -> bool:
    result = results[ref]
    if result.get("not_started") == "parent":
        return _can_repeat(by_ref[ref]["parent_ref"], by_ref, results)
    problem = result["problem"]
    return result.get("not_started") in _WILL_START or (problem is not None and problem["retryable"])


def _summarize(results: Sequence[BatchItemResult]) -> dict[str, int]:
    """Count the items as the gateway does; an item that a repetition replayed counts as created."""
    counts = dict.fromkeys(("created", "adopted", "replayed", "failed", "unknown", "not_started"), 0)
    for result in results:
        counts[item_state(result)] += 1
    return counts


def item_state(result: BatchItemResult) -> str:
    """Return what became of an item: created, adopted, failed, unknown or not_started."""
    if "not_started" in result:
        return "not_started"
    if result["problem"] is not None:
        return "unknown" if result["outcome"] == "unknown" else "failed"
    return "created" if result["outcome"] == "applied" else "adopted"


def _read_content(response: requests.Response, deadline: float) -> bytes:
    """Return the body; raises an error if it is not complete, at the deadline or at the end of the connection."""
    content = bytearray()
    while chunk := response.raw.read1(decode_content=True):
        content += chunk
        if time.monotonic() > deadline and response.raw.length_remaining != 0:
            raise TimeoutError("the answer was not complete in time")
    if response.raw.length_remaining:  # read1 does not compare with Content-Length
        raise IncompleteRead(len(content), response.raw.length_remaining)
    return bytes(content)


def _connection_failure(call: _Call, error: Exception, request_id: str) -> _Failure:
    """Return the failure of a request without an answer."""
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    is_untrusted = isinstance(reason, SSLError) and isinstance(reason.args[0], SSLCertVerificationError)
    proven = is_untrusted or isinstance(error, ConnectTimeout) or isinstance(reason, NewConnectionError)
    outcome = "not_applied" if proven or not call.is_write else "unknown"
    event = Event.FINAL if is_untrusted else Event.NOT_SENT if proven else Event.LOST
    code = "connection_failed" if proven else "connection_lost"
    detail = f"{call.method} {call.path}: {reason or error}"
    return _Failure(event, client_problem(code, detail, outcome, request_id=request_id))


def _parse_answer(
    call: _Call, response: requests.Response, content: bytes, request_id: str
) -> dict[str, Any] | _Failure | None:
    """Return the document of a success, None if it has none, or the failure."""
    try:
        document = json.loads(content) if content else None
    except ValueError:
        document = None
    status, outcome = response.status_code, response.headers.get("Gateway-Outcome")
    is_marked = not call.is_write or outcome is not None
    if response.ok and status < 300 and is_marked:  # noqa: PLR2004 - the statuses of success
        if call.member is None and status == _NO_CONTENT:
            return None
        if call.member is not None and isinstance(document, dict) and call.member in document:
            return document
    problem = _gateway_problem(document)
    if problem is not None and not is_marked and (status >= 500 or status == 408):  # noqa: PLR2004
        problem = None
    event = rules.classify(status, problem)
    retry_after = rules.parse_retry_after(response.headers)
    if problem is not None:
        return _Failure(event, problem, retry_after, is_from_gateway=True)
    outcome = "unknown" if call.is_write and event is not Event.NOT_APPLIED else "not_applied"
    media_type = response.headers.get("Content-Type", "no media type")
    detail = f"{call.method} {call.path} got HTTP {status} ({media_type}), which the gateway does not answer."
    return _Failure(
        event,
        client_problem("unexpected_answer", detail, outcome, status=status, request_id=request_id),
        retry_after,
    )


def _gateway_problem(document: object) -> Problem | None:
    if isinstance(document, dict) and document.keys() >= _PROBLEM_MEMBERS:
        return cast("Problem", document)
    return None
