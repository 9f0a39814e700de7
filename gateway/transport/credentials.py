"""The secrets that a connection sends while they are being replaced: no request fails that one of them would serve.

A version is the tuple of the values of a connection's secrets. The version that the backend accepted last stays in use
until a newer one has been accepted: one request tries the new version, and if that is refused, it is repeated with the
old one, to which the connection also returns if the new version is refused later. A refused version is not sent again
for a while, because repeated refusals lock a user or a key.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendUnavailable, ErrorContext, GatewayError
from gateway.domain.messages import message
from gateway.domain.runtime import Clock
from gateway.settings import Secret

_Result = TypeVar("_Result")
Version = tuple[str, ...]
#: How long a connection waits for its other files, after one of several has changed, in seconds.
_COMPLETE_SECONDS: Final = 60.0
#: An incomplete pair, the complete one that a look at the files then finds, and the one that was accepted last.
_MAX_REPETITIONS: Final = 2
#: The shortest time between two looks at the files because of refusals, in seconds.
_REREAD_INTERVAL: Final = 0.1


@dataclass(frozen=True, slots=True)
class _Rejection:
    """The error with which a version was refused, and when it may be sent again, on Clock.monotonic()."""

    error: GatewayError
    ends_at: float


class RotatingCredentials:
    """Chooses the version for each exchange of one connection; threads and greenlets may share it."""

    def __init__(
        self,
        secrets: Sequence[Secret],
        clock: Clock,
        *,
        backoff_seconds: float,
        is_rejection: Callable[[GatewayError], bool],
    ) -> None:
        """`is_rejection` tells whether an error refuses the secrets, which proves that nothing was applied.

        `backoff_seconds` is how long a refused version is not sent again, unless the error states a time.
        """
        self._secrets = tuple(secrets)
        self._can_change = any(secret.can_change for secret in secrets)
        self._clock = clock
        self._backoff_seconds = backoff_seconds
        self._is_rejection = is_rejection
        self._accepted = self._previous = self._read()  # the last version that was accepted, and the one before it
        self._rejections: dict[Version, _Rejection] = {}
        self._trial: Version | None = None  # the version that one request is trying
        self._incomplete_since: float | None = None
        self._next_reread = -math.inf
        self._condition = threading.Condition()

    def run(self, exchange: Callable[[Version], _Result], call: CallContext) -> _Result:
        """Return the result of an exchange; one whose secrets are refused is repeated with others, twice at most.

        Raises the exchange's errors, and without an exchange the error of the last refusal while no version may be
        sent, or BackendUnavailable if the deadline ends the wait for the request that tries a version.
        """
        version = self._choose(call)
        for _ in range(_MAX_REPETITIONS):
            try:
                return self._attempt(exchange, version)
            except GatewayError as error:
                if not self._is_rejection(error):
                    raise
                try:
                    version = self._choose(call)
                except GatewayError:  # there is no other version
                    raise error from None
        return self._attempt(exchange, version)

    def _attempt(self, exchange: Callable[[Version], _Result], version: Version) -> _Result:
        try:
            result = exchange(version)
        except GatewayError as error:
            if self._is_rejection(error):
                self._record_rejection(version, error)
            self._end_trial(version)
            raise
        except BaseException:
            self._end_trial(version)
            raise
        if version is self._trial:
            self._record_acceptance(version)
        return result

    def _read(self) -> Version:
        return tuple([secret.value for secret in self._secrets])

    def _choose(self, call: CallContext) -> Version:
        """Return the version to send; wait while another request tries the only one that may be sent."""
        accepted = self._accepted
        if accepted not in self._rejections and not (self._can_change and self._read() != accepted):
            return accepted
        with self._condition:
            while (version := self._select()) is None:
                remaining_seconds = call.deadline - self._clock.monotonic()
                if remaining_seconds <= 0:
                    raise BackendUnavailable(message("credentials_wait_exceeded"))
                self._condition.wait(remaining_seconds)
            return version

    def _select(self) -> Version | None:
        """Return the version to send, None while another request tries it; raises the error of the last refusal."""
        now = self._clock.monotonic()
        newest = self._newest(now)
        for version in (newest, self._accepted, self._previous):
            rejection = self._rejections.get(version)
            if rejection is None and version == self._accepted:
                return self._accepted
            if self._trial is None and (rejection is None or rejection.ends_at <= now):
                self._trial = (*[*version],)  # an object of its own, which no other request sends
                return self._trial
        if self._trial is not None:
            return None
        rejection = self._rejections[newest]
        context = ErrorContext(retry_after=rejection.ends_at - now)
        raise type(rejection.error)(message("credentials_rejected"), context=context)

    def _newest(self, now: float) -> Version:
        """Return the values of the files; while only some of several have changed, the accepted ones for a while.

        The files of an access key and its secret key cannot be replaced at the same instant.
        """
        newest = self._read()
        values = zip(self._secrets, newest, self._accepted, strict=True)
        is_changed = [new != old for secret, new, old in values if secret.can_change]
        if all(is_changed) or not any(is_changed) or self._accepted in self._rejections:
            self._incomplete_since = None
            return newest
        if self._incomplete_since is None:
            self._incomplete_since = now
        return self._accepted if now < self._incomplete_since + _COMPLETE_SECONDS else newest

    def _record_rejection(self, version: Version, error: GatewayError) -> None:
        """Do not send a version for a while, and look at the files: once, if several requests are refused together."""
        with self._condition:
            now = self._clock.monotonic()
            seconds = error.context.retry_after or self._backoff_seconds
            self._rejections[version] = _Rejection(error, now + seconds)
            if now >= self._next_reread:
                for secret in self._secrets:
                    secret.reread()
                self._next_reread = self._clock.monotonic() + _REREAD_INTERVAL

    def _record_acceptance(self, version: Version) -> None:
        with self._condition:
            if version != self._accepted:
                self._accepted, self._previous = version, self._accepted
            known, now = (self._accepted, self._previous), self._clock.monotonic()
            self._rejections = {
                rejected: rejection
                for rejected, rejection in self._rejections.items()
                if rejected != version and (rejected in known or rejection.ends_at > now)
            }
            self._trial = None
            self._condition.notify_all()

    def _end_trial(self, version: Version) -> None:
        """Let another request try the version, if this one has tried it and was not accepted."""
        if version is self._trial:
            with self._condition:
                self._trial = None
                self._condition.notify_all()
