"""How the gateway says to Huawei Cloud who it is: by signing each request, or by a token from IAM."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from gateway.backends.projectman.errors import ERRORS, read_fault
from gateway.backends.projectman.options import CREDENTIAL_HEADER, AccessKey, IamPassword, Options, Passthrough
from gateway.backends.projectman.signature import authorization
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendRejectedCredentials, BackendUnavailable, GatewayError, Unauthenticated
from gateway.domain.runtime import Clock
from gateway.transport import UpstreamClient, UpstreamRequest

_JSON: Final = {"Content-Type": "application/json"}
#: A token is exchanged so long before its end that no request in flight outlives it; seconds.
_EARLY: Final = 600.0
#: Where that fails it is tried again after so long; seconds.
_AGAIN: Final = 30.0
#: Wrong passwords lock the user: after a refusal nobody asks again for so long; seconds.
_REJECTED: Final = 300.0


class Credentials(Protocol):
    """What authorizes a request."""

    def headers(self, method: str, url: str, body: bytes, call: CallContext) -> Mapping[str, str]:
        """Return the headers that this very request needs."""
        ...

    def renew(self, used: Mapping[str, str], call: CallContext) -> bool:
        """Fetch anew what expired; False where that cannot help. `used` are the headers that were refused."""
        ...


def credentials(name: str, options: Options, transport: UpstreamClient, clock: Clock) -> Credentials:
    """Choose by the connection's configuration."""
    if isinstance(options.auth, IamPassword):
        return Token(name, options.auth, transport, clock)
    if isinstance(options.auth, Passthrough):
        return Forwarded()
    return Signed(options.auth, urlsplit(options.base_url).netloc, clock)


class Signed:
    """AK and SK: every request carries its own signature, nothing expires."""

    def __init__(self, identity: AccessKey, host: str, clock: Clock) -> None:
        self._identity = identity
        self._host = host
        self._clock = clock

    def headers(self, method: str, url: str, body: bytes, call: CallContext) -> Mapping[str, str]:  # noqa: ARG002 - Credentials
        """Sign host, date, content type and, where configured, project and security token."""
        identity = self._identity
        signed = {**_JSON, "Host": self._host, "X-Sdk-Date": _date(int(self._clock.now()))}
        if identity.iam_project_id:
            signed["X-Project-Id"] = identity.iam_project_id
        if identity.security_token is not None:
            signed["X-Security-Token"] = identity.security_token.value
        key = (identity.access_key, identity.secret_key.value)
        return {**signed, "Authorization": authorization(method, url, signed, body, key=key)}

    def renew(self, used: Mapping[str, str], call: CallContext) -> bool:  # noqa: ARG002 - Credentials
        """Say no: a refused signature is a wrong key."""
        return False


@lru_cache(maxsize=2)
def _date(now: int) -> str:
    """Write a time as the vendor does; all requests of one second share it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")


class Forwarded:
    """The caller's own token, as he sent it; nothing is kept of it."""

    def headers(self, method: str, url: str, body: bytes, call: CallContext) -> Mapping[str, str]:  # noqa: ARG002 - Credentials
        """Send it on."""
        if call.credential is None:
            raise Unauthenticated("This connection acts with the caller's own token, and none was sent along.")
        return {**_JSON, CREDENTIAL_HEADER: call.credential}

    def renew(self, used: Mapping[str, str], call: CallContext) -> bool:  # noqa: ARG002 - Credentials
        """Say no: only the caller can fetch another."""
        return False


class _Held(NamedTuple):
    """A token, and the wall-clock seconds from which on another one is wanted, and needed."""

    value: str
    until: float  # a new one is fetched
    ends: float


class Token:
    """A token from IAM, shared by all requests and fetched by one of them while the others wait."""

    def __init__(self, name: str, identity: IamPassword, transport: UpstreamClient, clock: Clock) -> None:
        self._name = name
        self._identity = identity
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._held = _Held("", 0.0, 0.0)
        self._rejected_until = 0.0

    def headers(self, method: str, url: str, body: bytes, call: CallContext) -> Mapping[str, str]:  # noqa: ARG002 - Credentials
        """Send the token, a new one where the old is near its end."""
        held = self._held
        if held.until <= self._clock.now():
            held = self._renewed(held, call)
        return {**_JSON, CREDENTIAL_HEADER: held.value}

    def renew(self, used: Mapping[str, str], call: CallContext) -> bool:
        """Fetch a new token, unless another request has done so since."""
        self._refresh(call, lambda held: held.value == used.get(CREDENTIAL_HEADER))
        return True

    def _renewed(self, held: _Held, call: CallContext) -> _Held:
        """Fetch ahead of time; while that fails the old token is used on, to its end."""
        try:
            return self._refresh(call, lambda held: held.until <= self._clock.now())
        except GatewayError:
            if held.ends <= self._clock.now():
                raise
            if self._held is held:  # nobody has fetched another meanwhile
                self._held = held._replace(until=min(self._clock.now() + _AGAIN, held.ends))
            return self._held

    def _refresh(self, call: CallContext, stale: Callable[[_Held], bool]) -> _Held:
        left = call.deadline - self._clock.monotonic()
        if not self._lock.acquire(timeout=max(left, 0.0)):
            raise BackendUnavailable("No token was to be had before the deadline; nothing was sent.")
        try:
            if stale(self._held):
                self._held = self._fetch(call)
            return self._held
        finally:
            self._lock.release()

    def _fetch(self, call: CallContext) -> _Held:
        if self._clock.monotonic() < self._rejected_until:
            raise BackendRejectedCredentials("IAM has rejected these credentials; it is not asked again for a while.")
        reply = self._transport.send(self._request(), call)
        value = reply.headers.get("X-Subject-Token")
        if reply.ok and value:
            self._transport.hide(value, instead_of=self._held.value)
            return _held(value, reply.json(), self._clock.now())
        if reply.ok:
            raise reply.invalid("it carries no token")
        error: GatewayError = ERRORS.to_error(read_fault(reply, self._name, "token"))
        if isinstance(error, BackendRejectedCredentials):
            self._rejected_until = self._clock.monotonic() + _REJECTED
        raise error

    def _request(self) -> UpstreamRequest:
        identity = self._identity
        user = {"domain": {"name": identity.domain}, "name": identity.user, "password": identity.password.value}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": identity.project}},
        }
        return UpstreamRequest(
            method="POST",
            url=f"{identity.iam_url}/v3/auth/tokens?nocatalog=true",
            headers={"Content-Type": "application/json;charset=utf8"},
            body=json.dumps({"auth": auth}).encode(),
        )


def _held(value: str, body: Any, now: float) -> _Held:
    """Read until when to use a token; where IAM does not say, a quarter of an hour is safe."""
    try:
        ends = datetime.fromisoformat(body["token"]["expires_at"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return _Held(value, now + 900.0, now + 900.0)
    # A token of a short life is used for half of it rather than never.
    return _Held(value, max(ends - _EARLY, now + (ends - now) / 2), ends)
