"""Exception chains as requests and urllib3 build them, and what each proves."""

from __future__ import annotations

import ssl
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected
from typing import Final

import pytest
import requests
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    LocationParseError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from gateway.domain.errors import (
    BackendMisconfigured,
    BackendReplyInvalid,
    BackendTimeout,
    BackendUnavailable,
    GatewayError,
    OutcomeUnknown,
)
from gateway.transport.failures import Failure, as_gateway_error, causes, was_sent, what_failed

_POOL: Final = HTTPConnectionPool("backend.example")
_CONNECTION: Final = HTTPConnection("backend.example")


def retried(reason: Exception) -> requests.ConnectionError:
    """Wrap as requests does what urllib3 gave up on."""
    return requests.ConnectionError(MaxRetryError(_POOL, "/", reason))


def aborted(error: Exception, words: str = "Connection aborted.") -> requests.ConnectionError:
    return requests.ConnectionError(ProtocolError(words, error))


#: recorded: the chains that requests 2.34 and urllib3 2.8 raised for the servers of test_broken_replies
CHAINS: Final[list[tuple[BaseException, bool, type[GatewayError], type[GatewayError]]]] = [
    (retried(NewConnectionError(_CONNECTION, "refused")), False, BackendUnavailable, BackendUnavailable),
    (
        retried(NameResolutionError("nohost.invalid", _CONNECTION, OSError(-2, "unknown"))),  # type: ignore[arg-type] # a gaierror
        False,
        BackendUnavailable,
        BackendUnavailable,
    ),
    (
        requests.ConnectTimeout(MaxRetryError(_POOL, "/", ConnectTimeoutError(_CONNECTION, "late"))),
        False,
        BackendUnavailable,
        BackendUnavailable,
    ),
    (
        requests.exceptions.SSLError(
            MaxRetryError(_POOL, "/", SSLError(ssl.SSLCertVerificationError(1, "self-signed")))
        ),
        False,
        BackendMisconfigured,
        BackendMisconfigured,
    ),
    (
        requests.exceptions.SSLError(MaxRetryError(_POOL, "/", SSLError(ssl.SSLError(1, "record layer failure")))),
        True,
        BackendUnavailable,
        OutcomeUnknown,
    ),
    (requests.exceptions.InvalidURL(LocationParseError("a..b")), False, BackendMisconfigured, BackendMisconfigured),
    (aborted(ConnectionResetError(104, "reset")), True, BackendUnavailable, OutcomeUnknown),
    (aborted(RemoteDisconnected("closed")), True, BackendUnavailable, OutcomeUnknown),
    (aborted(BadStatusLine("SSH-2.0")), True, BackendReplyInvalid, OutcomeUnknown),
    (aborted(TimeoutError("while sending")), True, BackendTimeout, OutcomeUnknown),
    (requests.ReadTimeout(ReadTimeoutError(_POOL, "/", "late")), True, BackendTimeout, OutcomeUnknown),
    (ReadTimeoutError(_POOL, "/", "late"), True, BackendTimeout, OutcomeUnknown),
    (ProtocolError("Connection broken", IncompleteRead(b"{")), True, BackendReplyInvalid, OutcomeUnknown),
    (ProtocolError("Connection broken", ConnectionResetError(104)), True, BackendUnavailable, OutcomeUnknown),
    (DecodeError("no gzip", OSError("zlib")), True, BackendReplyInvalid, OutcomeUnknown),
    (OSError("anything else"), True, BackendUnavailable, OutcomeUnknown),
]


@pytest.mark.parametrize(("error", "sent", "read", "write"), CHAINS)
def test_a_chain_proves_what_it_proves(
    error: BaseException,
    sent: bool,
    read: type[GatewayError],
    write: type[GatewayError],
) -> None:
    """Only refusal, resolution, connect timeout, certificate and address prove that nothing was sent."""
    assert was_sent(error) is sent
    assert type(as_gateway_error(error, is_write=False)) is read
    assert type(as_gateway_error(error, is_write=True)) is write


def test_every_chain_has_one_reason() -> None:
    """In the order of the table: what the circuit and the figures are told."""
    assert [what_failed(error) for error, *_ in CHAINS] == [
        Failure.NO_CONNECTION,
        Failure.NO_CONNECTION,
        Failure.NO_CONNECTION_IN_TIME,
        Failure.MISCONFIGURED,
        Failure.BROKEN,
        Failure.MISCONFIGURED,
        Failure.BROKEN,
        Failure.BROKEN,
        Failure.BROKEN,
        Failure.TIMEOUT,
        Failure.TIMEOUT,
        Failure.TIMEOUT,
        *[Failure.BROKEN] * 4,
    ]


def test_what_was_being_handled_is_no_cause() -> None:
    """A failure while another was handled proves nothing that the other proved."""
    error = OSError("afterwards")
    error.__context__ = NewConnectionError(_CONNECTION, "refused")
    assert was_sent(error)


def test_an_explicit_cause_is_one() -> None:
    """`raise … from …` says what happened."""
    error = OSError("wrapped")
    error.__cause__ = NewConnectionError(_CONNECTION, "refused")
    assert not was_sent(error)


def test_a_chain_that_bites_its_tail_ends() -> None:
    """However exceptions wrap each other, looking through them ends."""
    error = OSError()
    error.args = (error,)
    assert len(tuple(causes(error))) == 10
