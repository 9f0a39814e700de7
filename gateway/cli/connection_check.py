"""`check --connect`: asks what a configuration names, without changing anything but missing tables of the journal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.app import SystemRuntime, create_backends, describe_journal
from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import (
    BackendPermissionDenied,
    BackendReplyInvalid,
    GatewayError,
    JournalUnavailable,
    ModuleNotFound,
    ParentNotFound,
    ScopeNotFound,
    ValidationFailed,
)
from gateway.domain.lookup import LookupQuery
from gateway.domain.messages import message
from gateway.domain.module import ModuleQuery
from gateway.journals import create_journal
from gateway.provisioning.journal_health import describe_cause
from gateway.settings import JwtConfig, Settings
from gateway.telemetry.redaction import Redactor, collect_secrets
from gateway.transport import create_json_fetcher

_TIMEOUT: Final = 10.0  # seconds
#: A scope that need not exist: a backend that says so has accepted the connection's credentials.
_SCOPE: Final = "1"
_PROOFS: Final = (ScopeNotFound, ParentNotFound, ModuleNotFound, ValidationFailed, BackendPermissionDenied)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check: what was checked, whether it answered, and a remark."""

    name: str
    ok: bool
    remark: str = ""

    def __str__(self) -> str:
        """Return the line to print."""
        return f"{self.name}: {'ok' if self.ok else 'failed'}{self.remark and f', {self.remark}'}"


def check_connections(settings: Settings) -> Iterator[CheckResult]:
    """Yield a result for the journal, each issuer and each connection."""
    logging.getLogger("gateway").addHandler(logging.NullHandler())  # the results say what the log would
    redactor = Redactor(collect_secrets(settings))
    checks: dict[str, Callable[[], Sequence[str]]] = {
        f"journal {describe_journal(settings)}": partial(_check_journal, settings)
    }
    for jwt in settings.auth.jwt:
        checks[f"issuer {jwt.jwks_url}"] = partial(_check_issuer, jwt)
    for backend in create_backends(settings, SystemRuntime()).values():
        checks[f"backend {backend.name}"] = partial(_check_backend, backend)
    for name, check in checks.items():
        try:
            remarks: Sequence[str] = check()
        except GatewayError as error:
            cause = describe_cause(error) if isinstance(error, JournalUnavailable) else ""
            remark = f"{error.code}: {error.detail}{cause and f' ({cause})'}"
            yield CheckResult(name, ok=False, remark=str(redactor.redact(remark)))
        else:
            yield CheckResult(name, ok=True, remark="; ".join(remarks))


def _check_journal(settings: Settings) -> Sequence[str]:
    with closing(create_journal(settings.journal_url.value)) as journal:
        return [f"warning: {warning}" for warning in journal.check()]


def _check_issuer(jwt: JwtConfig) -> Sequence[str]:
    """Fetch the keys as the service does."""
    document = create_json_fetcher(jwt.jwks_url, jwt.ca_file or None, SystemRuntime())()
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not keys:
        raise BackendReplyInvalid(message("jwks_unusable"))
    return (f"keys: {len(keys)}",)


def _check_backend(backend: Backend) -> Sequence[str]:
    """List the scopes, or a scope if there is no such call, with the connection's own credentials.

    Every answer that is about the scope proves them.
    """
    if backend.capabilities.credential_header is not None:
        return ("not checked: only callers have credentials",)
    runtime = SystemRuntime()
    call = CallContext("check", runtime.monotonic() + _TIMEOUT)
    try:
        if "scopes" in backend.capabilities.lookups:
            backend.lookup(LookupQuery(kind="scopes"), 1, None, call)
        else:
            backend.list(ModuleQuery(scope=_SCOPE), 1, None, call)
    except _PROOFS as error:
        return (f"accepts the credentials, answers {error.code}",)
    return ("accepts the credentials",)
