"""What each exception chain proves."""

from __future__ import annotations

import socket
import ssl
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected
from typing import Final

import pytest
import requests

from gateway.domain.errors import (
    BackendMisconfigured,
    BackendReplyInvalid,
    BackendTimeout,
    BackendUnavailable,
    GatewayError,
    OutcomeUnknown,
)
from gateway.transport.deadline_socket import ConnectError
from gateway.transport.failures import FailureKind, classify, exception_chain, maybe_sent, to_gateway_error

Chain = tuple[BaseException, FailureKind, type[GatewayError], type[GatewayError]]


def chain(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


#: The chains that the adapter raises for the servers of test_not_sent and test_broken_responses, and requests' own.
CHAINS: Final[list[Chain]] = [
    (
        chain(ConnectError(), ConnectionRefusedError(111, "refused")),
        FailureKind.NO_CONNECTION,
        BackendUnavailable,
        BackendUnavailable,
    ),
    (
        chain(ConnectError(), socket.gaierror(-2, "unknown")),
        FailureKind.NO_CONNECTION,
        BackendUnavailable,
        BackendUnavailable,
    ),
    (
        chain(ConnectError(), ssl.SSLError(1, "record layer failure")),  # during the handshake
        FailureKind.NO_CONNECTION,
        BackendUnavailable,
        BackendUnavailable,
    ),
    (
        chain(requests.ConnectTimeout(), TimeoutError()),
        FailureKind.CONNECT_TIMEOUT,
        BackendUnavailable,
        BackendUnavailable,
    ),
    (
        ssl.SSLCertVerificationError(1, "self-signed"),
        FailureKind.MISCONFIGURED,
        BackendMisconfigured,
        BackendMisconfigured,
    ),
    (requests.exceptions.InvalidURL(), FailureKind.MISCONFIGURED, BackendMisconfigured, BackendMisconfigured),
    (requests.exceptions.InvalidHeader(), FailureKind.MISCONFIGURED, BackendMisconfigured, BackendMisconfigured),
    (ssl.SSLError(1, "record layer failure"), FailureKind.BROKEN, BackendUnavailable, OutcomeUnknown),
    (ssl.SSLEOFError(8, "EOF in violation of protocol"), FailureKind.BROKEN, BackendUnavailable, OutcomeUnknown),
    (ConnectionResetError(104, "reset"), FailureKind.BROKEN, BackendUnavailable, OutcomeUnknown),
    (RemoteDisconnected("closed"), FailureKind.BROKEN, BackendUnavailable, OutcomeUnknown),
    (BadStatusLine("SSH-2.0"), FailureKind.BROKEN, BackendReplyInvalid, OutcomeUnknown),
    (IncompleteRead(b"{"), FailureKind.BROKEN, BackendReplyInvalid, OutcomeUnknown),
    (TimeoutError("while sending"), FailureKind.TIMEOUT, BackendTimeout, OutcomeUnknown),
    (requests.ReadTimeout("late"), FailureKind.TIMEOUT, BackendTimeout, OutcomeUnknown),
    (requests.ConnectionError("anything"), FailureKind.BROKEN, BackendUnavailable, OutcomeUnknown),
    (OSError("anything else"), FailureKind.BROKEN, BackendUnavailable, OutcomeUnknown),
]
NOT_SENT: Final = {FailureKind.MISCONFIGURED, FailureKind.NO_CONNECTION, FailureKind.CONNECT_TIMEOUT}


@pytest.mark.parametrize(("error", "kind", "read", "write"), CHAINS)
def test_what_a_chain_proves(
    error: BaseException, kind: FailureKind, read: type[GatewayError], write: type[GatewayError]
) -> None:
    """Only a failed connect, a connect timeout, a certificate and a setting prove that nothing was sent."""
    assert classify(error) is kind
    assert maybe_sent(error) is (kind not in NOT_SENT)
    assert type(to_gateway_error(error, is_write=False)) is read
    assert type(to_gateway_error(error, is_write=True)) is write


def test_the_context_of_an_exception_is_no_cause() -> None:
    """A failure during the handling of another one proves nothing that the other one proved."""
    error = OSError("afterwards")
    error.__context__ = ConnectError("refused")
    assert maybe_sent(error)


def test_an_explicit_cause_is_one() -> None:
    """`raise … from …` names what happened."""
    assert not maybe_sent(chain(OSError("wrapped"), ConnectError("refused")))


def test_a_cyclic_chain_ends() -> None:
    """The chain is bounded, however exceptions refer to each other."""
    error = OSError()
    error.__cause__ = chain(OSError(), error)
    assert len(tuple(exception_chain(error))) == 10
