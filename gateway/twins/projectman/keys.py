"""Knows the access keys: who signed a request, whether it was in time, and which key has failed too often."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Final

from .refusals import unauthenticated
from .seed import AccessKey, IamUser, Seed
from .signature import SignedRequest, is_genuine, read_claim

TOLERANCE: Final = timedelta(minutes=15)
LOCKED_FOR: Final = timedelta(minutes=5)
FAILURES_ALLOWED: Final = 5  # in a row; one more locks the key
DATE_FORMAT: Final = "%Y%m%dT%H%M%SZ"

SIGNATURE_WRONG: Final = "verify aksk signature fail"
KEY_UNKNOWN: Final = "Get secretKey failed"
KEY_LOCKED: Final = "AK access failed to reach the limit,forbidden"


class KeyRing:
    """The access keys and, for each, its failures in a row."""

    def __init__(self, seed: Seed, clock: Callable[[], datetime], lock: RLock) -> None:
        self._keys: Mapping[str, AccessKey] = seed.access_keys
        self._users = {user.user_name: user for user in seed.iam_users}
        self._first_user = seed.iam_users[0]
        self._clock = clock
        self._lock = lock
        self._failures: dict[str, int] = {}
        self._locked_until: dict[str, datetime] = {}

    def signer(self, request: SignedRequest) -> IamUser:
        """Return the user whose key signed the request; raises APIGW.0301."""
        claim = read_claim(request.headers["authorization"])
        if claim is None:
            raise unauthenticated(SIGNATURE_WRONG)
        with self._lock:
            self._refuse_locked(claim.access_key)
            key = self._keys.get(claim.access_key)
            if key is None:
                self._fail(claim.access_key)
                raise unauthenticated(KEY_UNKNOWN)
            if not (is_genuine(request, claim, key.secret) and self._in_time(request) and _token_fits(request, key)):
                self._fail(claim.access_key)
                raise unauthenticated(SIGNATURE_WRONG)
            self._failures.pop(claim.access_key, None)
        return self._users[key.user_name] if key.user_name else self._first_user

    def _refuse_locked(self, access_key: str) -> None:
        until = self._locked_until.get(access_key)
        if until is None:
            return
        if self._clock() < until:
            raise unauthenticated(KEY_LOCKED)
        del self._locked_until[access_key]

    def _fail(self, access_key: str) -> None:
        failures = self._failures.get(access_key, 0) + 1
        if failures > FAILURES_ALLOWED:
            self._locked_until[access_key] = self._clock() + LOCKED_FOR
            failures = 0
        self._failures[access_key] = failures

    def _in_time(self, request: SignedRequest) -> bool:
        try:
            signed_at = datetime.strptime(request.headers["x-sdk-date"], DATE_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            return False
        return abs(self._clock() - signed_at) <= TOLERANCE


def _token_fits(request: SignedRequest, key: AccessKey) -> bool:
    """Check the STS token, which must be signed as well: a permanent key has none, a temporary key its own."""
    claim = read_claim(request.headers["authorization"])
    signed = claim is not None and "x-security-token" in claim.signed_headers
    given = request.headers.get("x-security-token")
    return given == key.security_token and (given is None or signed)
