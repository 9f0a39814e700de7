"""How a request is authorized at Huawei Cloud: by a signature, by a token from IAM, or by the caller's token."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from gateway.backends.projectman.errors import ERRORS, is_key_rejected, is_token_expired, parse_failure
from gateway.backends.projectman.options import CREDENTIAL_HEADER, AccessKey, IamPassword, Options, Passthrough
from gateway.backends.projectman.signature import authorization_header
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendRejectedCredentials, BackendUnavailable, GatewayError, Unauthenticated
from gateway.domain.messages import message
from gateway.domain.runtime import Clock
from gateway.domain.telemetry import UpstreamMetrics
from gateway.transport import UpstreamClient, UpstreamRequest
from gateway.transport.credentials import RotatingCredentials, Version

_JSON_CONTENT_TYPE: Final = {"Content-Type": "application/json"}
#: A token is replaced this many seconds before it expires, so that no request in flight outlives it.
_REFRESH_MARGIN: Final = 600.0
#: The delay before the next attempt, in seconds, if an early replacement fails.
_RETRY_DELAY: Final = 30.0
#: How long a refused password is not sent again, in seconds: repeated wrong passwords lock the user.
_PASSWORD_BACKOFF: Final = 300.0
#: The same for an access key, which more than five consecutive failures lock for five minutes.
_KEY_BACKOFF: Final = 60.0
#: The lifetime of a token without a readable expiry time, in seconds.
_DEFAULT_LIFETIME: Final = 900.0


_Result = TypeVar("_Result")
#: Returns the headers that authorize a request, by method, URL and body.
Authorize = Callable[[str, str, bytes], Mapping[str, str]]


class UpstreamAuth(Protocol):
    """Authorizes requests to ProjectMan."""

    def run(self, exchange: Callable[[Authorize], _Result], call: CallContext) -> _Result:
        """Return the result of an exchange; repeat it once if its credential is refused and there is another.

        The API gateway refuses a credential before the service receives the request: a write can be sent again.
        """
        ...


def create_auth(
    name: str, options: Options, transport: UpstreamClient, clock: Clock, metrics: UpstreamMetrics | None = None
) -> UpstreamAuth:
    """Return the kind of authorization that the connection's options configure."""
    if isinstance(options.auth, IamPassword):
        return IamTokenAuth(name, options.auth, transport, clock, metrics)
    if isinstance(options.auth, Passthrough):
        return PassthroughAuth()
    return AkSkAuth(options.auth, urlsplit(options.base_url).netloc, clock)


class AkSkAuth:
    """Signs every request with an access key and a secret key, which do not expire but may be replaced."""

    def __init__(self, credentials: AccessKey, host: str, clock: Clock) -> None:
        self._project_id = credentials.iam_project_id
        self._host = host
        self._clock = clock
        secrets = (credentials.access_key, credentials.secret_key, credentials.security_token)
        self._credentials = RotatingCredentials(
            tuple(filter(None, secrets)), clock, backoff_seconds=_KEY_BACKOFF, is_rejection=is_key_rejected
        )

    def run(self, exchange: Callable[[Authorize], _Result], call: CallContext) -> _Result:
        """Sign the request of an exchange."""
        return self._credentials.run(lambda secrets: exchange(partial(self._sign, secrets)), call)

    def _sign(self, secrets: Version, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """Sign host, date, content type and, if configured, project and security token."""
        access_key, secret_key, *security_token = secrets
        signed_headers = {**_JSON_CONTENT_TYPE, "Host": self._host, "X-Sdk-Date": _format_date(int(self._clock.now()))}
        if self._project_id:
            signed_headers["X-Project-Id"] = self._project_id
        if security_token:
            signed_headers["X-Security-Token"] = security_token[0]
        authorization = authorization_header(method, url, signed_headers, body, key=(access_key, secret_key))
        return {**signed_headers, "Authorization": authorization}


@lru_cache(maxsize=2)
def _format_date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


class PassthroughAuth:
    """Sends the caller's token and stores nothing."""

    def run(self, exchange: Callable[[Authorize], _Result], call: CallContext) -> _Result:
        """Send the caller's token; raises Unauthenticated if there is none."""
        if call.credential is None:
            raise Unauthenticated(message("passthrough_credential_missing"))
        return exchange(_with_token(call.credential))


def _with_token(token: str) -> Authorize:
    return lambda _method, _url, _body: {**_JSON_CONTENT_TYPE, CREDENTIAL_HEADER: token}


@dataclass(frozen=True, slots=True)
class _CachedToken:
    """A token, and when to replace it and when it expires, in seconds of the wall clock."""

    value: str
    refresh_at: float
    expires_at: float


_NO_TOKEN: Final = _CachedToken("", 0.0, 0.0)  # stale, so that the first request fetches a token


class IamTokenAuth:
    """A token from IAM that all requests share; one request fetches it while the others wait."""

    def __init__(
        self,
        name: str,
        credentials: IamPassword,
        transport: UpstreamClient,
        clock: Clock,
        metrics: UpstreamMetrics | None = None,
    ) -> None:
        self._name = name
        self._credentials = credentials
        self._transport = transport
        self._clock = clock
        self._metrics = metrics
        self._lock = threading.Lock()
        self._token = _NO_TOKEN
        self._passwords = RotatingCredentials(
            (credentials.password,),
            clock,
            backoff_seconds=_PASSWORD_BACKOFF,
            is_rejection=lambda error: isinstance(error, BackendRejectedCredentials),
        )

    def run(self, exchange: Callable[[Authorize], _Result], call: CallContext) -> _Result:
        """Send the token; if it has expired, replace it, unless another request has replaced it already."""
        token = self._token  # read without the lock: it is replaced as a whole
        if token.refresh_at <= self._clock.now():
            token = self._refresh_early(token, call)
        try:
            return exchange(_with_token(token.value))
        except GatewayError as error:
            if not is_token_expired(error):
                raise
        token = self._refresh(call, lambda cached: cached.value == token.value)
        return exchange(_with_token(token.value))

    def _refresh_early(self, token: _CachedToken, call: CallContext) -> _CachedToken:
        """Fetch a new token; if that fails, return the present one while it is valid, and delay the next attempt."""
        try:
            return self._refresh(call, lambda cached: cached.refresh_at <= self._clock.now())
        except GatewayError:
            if token.expires_at <= self._clock.now():
                raise
            if self._token is token:  # no other request has replaced it
                self._token = replace(token, refresh_at=min(self._clock.now() + _RETRY_DELAY, token.expires_at))
            return self._token

    def _refresh(self, call: CallContext, is_stale: Callable[[_CachedToken], bool]) -> _CachedToken:
        """Return the token, after replacing it if it is still stale when no other request is fetching one.

        Raises BackendUnavailable if the deadline ends the wait for another request's fetch, and the errors of `_fetch`.
        """
        remaining_seconds = call.deadline - self._clock.monotonic()
        if not self._lock.acquire(timeout=max(remaining_seconds, 0.0)):
            raise BackendUnavailable(message("token_wait_exceeded"))
        try:
            if is_stale(self._token):
                self._token = self._passwords.run(lambda secrets: self._fetch(secrets[0], call), call)
            return self._token
        finally:
            self._lock.release()

    def _fetch(self, password: str, call: CallContext) -> _CachedToken:
        """Request a token from IAM."""
        response = self._transport.send(self._build_token_request(password), call)
        value = response.headers.get("X-Subject-Token")
        if response.ok and value:
            self._transport.register_secret(value, replaces=self._token.value)
            return _parse_token(value, response.json(), self._clock.now())
        if response.ok:
            raise response.invalid_response("no_token")
        failure = parse_failure(response, self._name, "token")
        raise ERRORS.to_error(failure, self._metrics, response.log_fields)

    def _build_token_request(self, password: str) -> UpstreamRequest:
        credentials = self._credentials
        user = {
            "domain": {"name": credentials.domain},
            "name": credentials.user,
            "password": password,
        }
        auth_member = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": credentials.project}},
        }
        return UpstreamRequest(
            method="POST",
            url=f"{credentials.iam_url}/v3/auth/tokens?nocatalog=true",
            headers={"Content-Type": "application/json;charset=utf8"},
            body=json.dumps({"auth": auth_member}).encode(),
        )


def _parse_token(value: str, body: Any, now: float) -> _CachedToken:
    """Return a token with the expiry time in IAM's response body."""
    try:
        expires_at = datetime.fromisoformat(body["token"]["expires_at"]).timestamp()
    except (KeyError, TypeError, ValueError):  # no readable expiry time
        return _CachedToken(value, now + _DEFAULT_LIFETIME, now + _DEFAULT_LIFETIME)
    # A token with a lifetime shorter than the margin is used for half of its lifetime.
    return _CachedToken(value, max(expires_at - _REFRESH_MARGIN, now + (expires_at - now) / 2), expires_at)
