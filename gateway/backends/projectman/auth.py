"""How a request is authorized at Huawei Cloud: by a signature, by a token from IAM, or by the caller's token."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from gateway.backends.projectman.errors import ERRORS, parse_failure
from gateway.backends.projectman.options import CREDENTIAL_HEADER, AccessKey, IamPassword, Options, Passthrough
from gateway.backends.projectman.signature import authorization_header
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendRejectedCredentials, BackendUnavailable, GatewayError, Unauthenticated
from gateway.domain.messages import message
from gateway.domain.runtime import Clock
from gateway.domain.telemetry import UpstreamMetrics
from gateway.transport import UpstreamClient, UpstreamRequest

_JSON_CONTENT_TYPE: Final = {"Content-Type": "application/json"}
#: A token is replaced this many seconds before it expires, so that no request in flight outlives it.
_REFRESH_MARGIN: Final = 600.0
#: The delay before the next attempt, in seconds, if an early replacement fails.
_RETRY_DELAY: Final = 30.0
#: How long rejected credentials are not sent again, in seconds: repeated wrong passwords lock the user.
_REJECTED_BACKOFF: Final = 300.0
#: The lifetime of a token without a readable expiry time, in seconds.
_DEFAULT_LIFETIME: Final = 900.0


class UpstreamAuth(Protocol):
    """Authorizes requests to ProjectMan."""

    def headers(self, method: str, url: str, body: bytes, call: CallContext) -> Mapping[str, str]:
        """Return the headers that authorize this request."""
        ...

    def refresh_rejected(self, headers: Mapping[str, str], call: CallContext) -> bool:
        """Replace the expired credential in `headers`; return False if there is no other."""
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
    """Signs every request with an access key and a secret key, which do not expire."""

    def __init__(self, credentials: AccessKey, host: str, clock: Clock) -> None:
        self._credentials = credentials
        self._host = host
        self._clock = clock

    def headers(self, method: str, url: str, body: bytes, call: CallContext) -> Mapping[str, str]:  # noqa: ARG002 - the signature is UpstreamAuth's
        """Sign host, date, content type and, if configured, project and security token."""
        credentials = self._credentials
        signed_headers = {**_JSON_CONTENT_TYPE, "Host": self._host, "X-Sdk-Date": _format_date(int(self._clock.now()))}
        if credentials.iam_project_id:
            signed_headers["X-Project-Id"] = credentials.iam_project_id
        if credentials.security_token is not None:
            signed_headers["X-Security-Token"] = credentials.security_token.value
        key = (credentials.access_key, credentials.secret_key.value)
        authorization = authorization_header(method, url, signed_headers, body, key=key)
        return {**signed_headers, "Authorization": authorization}

    def refresh_rejected(self, headers: Mapping[str, str], call: CallContext) -> bool:  # noqa: ARG002 - the signature is UpstreamAuth's
        """Return False: a rejected signature means a wrong key."""
        return False


@lru_cache(maxsize=2)
def _format_date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


class PassthroughAuth:
    """Sends the caller's token and stores nothing."""

    def headers(self, method: str, url: str, body: bytes, call: CallContext) -> Mapping[str, str]:  # noqa: ARG002 - the signature is UpstreamAuth's
        """Return the caller's token; raises Unauthenticated if there is none."""
        if call.credential is None:
            raise Unauthenticated(message("passthrough_credential_missing"))
        return {**_JSON_CONTENT_TYPE, CREDENTIAL_HEADER: call.credential}

    def refresh_rejected(self, headers: Mapping[str, str], call: CallContext) -> bool:  # noqa: ARG002 - the signature is UpstreamAuth's
        """Return False: only the caller can obtain another token."""
        return False


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
        self._credentials_rejected_until = 0.0

    def headers(self, method: str, url: str, body: bytes, call: CallContext) -> Mapping[str, str]:  # noqa: ARG002 - the signature is UpstreamAuth's
        """Return the token, after replacing it if it expires soon."""
        token = self._token  # read without the lock: it is replaced as a whole
        if token.refresh_at <= self._clock.now():
            token = self._refresh_early(token, call)
        return {**_JSON_CONTENT_TYPE, CREDENTIAL_HEADER: token.value}

    def refresh_rejected(self, headers: Mapping[str, str], call: CallContext) -> bool:
        """Fetch a new token, unless another request has already replaced the rejected one; always returns True."""
        self._refresh(call, lambda cached: cached.value == headers.get(CREDENTIAL_HEADER))
        return True

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
                self._token = self._fetch(call)
            return self._token
        finally:
            self._lock.release()

    def _fetch(self, call: CallContext) -> _CachedToken:
        """Request a token from IAM; for a while after IAM has rejected the credentials, raise without a request."""
        if self._clock.monotonic() < self._credentials_rejected_until:
            raise BackendRejectedCredentials(message("iam_credentials_rejected"))
        response = self._transport.send(self._build_token_request(), call)
        value = response.headers.get("X-Subject-Token")
        if response.ok and value:
            self._transport.register_secret(value, replaces=self._token.value)
            return _parse_token(value, response.json(), self._clock.now())
        if response.ok:
            raise response.invalid_response("no_token")
        error: GatewayError = ERRORS.to_error(
            parse_failure(response, self._name, "token"), self._metrics, response.log_fields
        )
        if isinstance(error, BackendRejectedCredentials):
            self._credentials_rejected_until = self._clock.monotonic() + _REJECTED_BACKOFF
        raise error

    def _build_token_request(self) -> UpstreamRequest:
        credentials = self._credentials
        user = {
            "domain": {"name": credentials.domain},
            "name": credentials.user,
            "password": credentials.password.value,
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
