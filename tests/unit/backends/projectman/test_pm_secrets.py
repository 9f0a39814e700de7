"""No log record and no representation contains a secret."""

from __future__ import annotations

import logging

import pytest

from gateway.backends.projectman.adapter import ProjectManBackend
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendRejectedCredentials
from gateway.settings import Secret
from tests.conftest import VirtualClock
from tests.unit.backends.connections import access_key, projectman_options
from tests.unit.backends.projectman.service_stub import BASE, DRAFT, IamStub, ServiceStub


def test_no_secret_reaches_the_log(
    iam: IamStub, by_token: ProjectManBackend, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """documented: projectman.md §4a: an error may repeat the whole request; its message is logged without secrets."""
    caplog.set_level(logging.DEBUG)
    iam.valid = lambda _: False
    iam.rejection = (401, echo("x-auth-token:token-1"))
    with pytest.raises(BackendRejectedCredentials):
        by_token.create(DRAFT, CallContext("r", clock.monotonic() + 10))
    service = ServiceStub(refusal=(401, echo("x-security-token:canary-sts")))
    identity = access_key(security_token=Secret("canary-sts"))
    signing = ProjectManBackend("projectman", projectman_options(BASE, auth=identity), service, clock)  # type: ignore[arg-type] # the same
    with pytest.raises(BackendRejectedCredentials):
        signing.create(DRAFT, CallContext("r", clock.monotonic() + 10))
    logged = " ".join(str(record.__dict__) for record in caplog.records)
    assert logged.count("verify aksk signature fail") == 2
    assert not any(secret in logged for secret in ("token-1", "canary-sts", "SKTEST", "demo-password"))


def echo(header: str) -> dict[str, str]:
    words = f"verify aksk signature fail, canonical_request:GET|/v4/|host:h|{header}|"
    return {"error_code": "APIGW.0301", "error_msg": words}


def test_no_representation_contains_a_secret(by_token: ProjectManBackend) -> None:
    """The options of a connection may be printed."""
    options = projectman_options(BASE, auth=access_key(security_token=Secret("canary-sts")))
    shown = repr(options) + repr(by_token._options)
    assert not any(secret in shown for secret in ("SKTEST", "canary-sts", "demo-password"))
