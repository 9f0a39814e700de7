"""Authentication by signature or token, as the API gateway does it; source: facts, sections 3b and 4c."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Final
from urllib.parse import quote

from flask import Request

from gateway.twins.projectman.errors import unauthenticated
from gateway.twins.projectman.iam import TokenService
from gateway.twins.projectman.seed import IamUser, ProjectManSeed, SeedAccessKey
from gateway.twins.projectman.signature import (
    SCHEME,
    SignatureHeader,
    SignedRequest,
    is_signature_valid,
    parse_authorization,
)

CLOCK_TOLERANCE: Final = timedelta(minutes=15)
LOCK_DURATION: Final = timedelta(minutes=5)
MAX_FAILURES: Final = 5  # consecutive; the next one locks the key
DATE_FORMAT: Final = "%Y%m%dT%H%M%SZ"

NO_TOKEN: Final = "x-auth-token not found"  # noqa: S105 - the gateway's text
SIGNATURE_WRONG: Final = "verify aksk signature fail"
KEY_UNKNOWN: Final = "Get secretKey failed"
KEY_LOCKED: Final = "AK access failed to reach the limit,forbidden"


class AccessKeyStore:
    """The access keys, with the consecutive failures and the lock of each."""

    def __init__(self, seed: ProjectManSeed, clock: Callable[[], datetime], lock: RLock) -> None:
        self._keys: Mapping[str, SeedAccessKey] = seed.access_keys
        self._users = {user.user_name: user for user in seed.iam_users}
        self._default_user = seed.iam_users[0]
        self._clock = clock
        self._lock = lock
        self._failures: dict[str, int] = {}
        self._locked_until: dict[str, datetime] = {}

    def authenticate(self, request: SignedRequest) -> IamUser:
        """Return the user whose key signed the request; raises APIGW.0301."""
        header = parse_authorization(request.headers["authorization"])
        if header is None:
            raise unauthenticated(SIGNATURE_WRONG)
        with self._lock:
            self._check_not_locked(header.access_key)
            key = self._keys.get(header.access_key)
            if key is None:
                self._record_failure(header.access_key)
                raise unauthenticated(KEY_UNKNOWN)
            if not (
                is_signature_valid(request, header, key.secret)
                and self._is_recent(request)
                and _security_token_matches(request, header, key)
            ):
                self._record_failure(header.access_key)
                raise unauthenticated(SIGNATURE_WRONG)
            self._failures.pop(header.access_key, None)
        return self._users[key.user_name] if key.user_name else self._default_user

    def replace_keys(self, keys: Mapping[str, SeedAccessKey]) -> None:
        """Accept these keys only, from now on and until a reset; locks and failures stay."""
        with self._lock:
            self._keys = keys

    def _check_not_locked(self, access_key: str) -> None:
        """Raise APIGW.0301 if the key is locked; remove a lock that has expired."""
        locked_until = self._locked_until.get(access_key)
        if locked_until is None:
            return
        if self._clock() < locked_until:
            raise unauthenticated(KEY_LOCKED)
        del self._locked_until[access_key]

    def _record_failure(self, access_key: str) -> None:
        """Count a failure; lock the key, and count from zero again, after too many."""
        failures = self._failures.get(access_key, 0) + 1
        if failures > MAX_FAILURES:
            self._locked_until[access_key] = self._clock() + LOCK_DURATION
            failures = 0
        self._failures[access_key] = failures

    def _is_recent(self, request: SignedRequest) -> bool:
        try:
            signed_at = datetime.strptime(request.headers["x-sdk-date"], DATE_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            return False
        return abs(self._clock() - signed_at) <= CLOCK_TOLERANCE


def authenticate(access_keys: AccessKeyStore, tokens: TokenService, request: Request) -> IamUser:
    """Return the user of a request, by its signature or, if it is not signed, by its token.

    Raises APIGW.0301 or APIGW.0307.
    """
    if request.headers.get("Authorization", "").startswith(SCHEME):
        return access_keys.authenticate(_build_signed_request(request))
    token = request.headers.get("X-Auth-Token")
    if not token:
        raise unauthenticated(NO_TOKEN)
    return tokens.user_of(token)


def _build_signed_request(request: Request) -> SignedRequest:
    return SignedRequest(
        method=request.method,
        path=quote(request.path),  # WSGI decodes the path; the signature is over a canonical encoding of it
        query=request.query_string.decode("latin-1"),
        headers={name.lower(): _decode_header(value) for name, value in request.headers.items()},
        body=request.get_data(),
    )


def _decode_header(value: str) -> str:
    """Return a header in UTF-8, as clients sign it; WSGI has decoded it as Latin-1."""
    return value.encode("latin-1").decode("utf-8", "replace").strip()


def _security_token_matches(request: SignedRequest, header: SignatureHeader, key: SeedAccessKey) -> bool:
    """Return whether a temporary key sends its own STS token and signs it, or a permanent key sends none."""
    token = request.headers.get("x-security-token")
    return token == key.security_token and (token is None or "x-security-token" in header.signed_headers)
