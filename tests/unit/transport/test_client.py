"""The client: requests and responses, state, logs, traces, secrets, and the fetcher of public documents."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable, Mapping

import pytest

from gateway.app import SystemClock
from gateway.domain.backend import BackendServices, CallContext
from gateway.domain.errors import BackendMisconfigured, BackendReplyInvalid, BackendUnavailable, OutcomeUnknown
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest, UpstreamResponse, create_json_fetcher
from tests.unit.transport.rawserver import RawServer, Script, Step, reply

pytestmark = pytest.mark.loopback
Send = Callable[..., UpstreamResponse]


def lines(request: bytes) -> list[bytes]:
    return request.partition(b"\r\n\r\n")[0].split(b"\r\n")


def test_requests_are_sent_as_given(send: Send) -> None:
    """A write has its headers, its length and its body; no cookie and no compression is added."""
    with RawServer([reply(b"{}"), Step.KEEP]) as server:
        send(f"{server.url}/a%20b?c=d", is_write=True, body=b'{"a": 1}')
        send(f"{server.url}/a")
    (write_line, *write_headers), (read_line, *read_headers) = map(lines, server.requests)
    assert (write_line, read_line) == (b"POST /a%20b?c=d HTTP/1.1", b"GET /a HTTP/1.1")
    common = [
        b"Accept-Encoding: identity",
        b"Content-Type: application/json",
        b"Host: " + server.url.removeprefix("http://").encode(),
        b"User-Agent: module-gateway",
    ]
    assert sorted(write_headers) == sorted([*common, b"Content-Length: 8"])
    assert sorted(read_headers) == sorted(common)
    assert server.requests[0].endswith(b'\r\n\r\n{"a": 1}')


def test_a_cookie_is_not_sent_back(send: Send) -> None:
    """Cookies of one call are not part of the next one."""
    with RawServer([reply(b"{}", "Set-Cookie: session=1"), Step.KEEP]) as server:
        send(server.url)
        send(server.url)
    assert b"cookie" not in server.requests[1].lower()


def test_a_redirect_is_not_followed(send: Send) -> None:
    """Credentials are not sent where a backend points: the redirect is the response, and no success."""
    with RawServer([reply(b"", "Location: /elsewhere", status="302 Found")]) as server:
        response = send(server.url)
    assert (response.status, response.ok, len(server.requests)) == (302, False, 1)


def test_a_proxy_of_the_environment_is_not_used(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go to the backend itself, whatever http_proxy says."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with RawServer([reply(b"{}")]) as server:
        assert send(server.url).status == 200


def test_continue_is_skipped(send: Send) -> None:
    """100 Continue is interim; the final response follows."""
    with RawServer([b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b'{"a": 1}')]) as server:
        assert send(server.url, is_write=True).json() == {"a": 1}


@pytest.mark.parametrize("status", ["102 Processing", "103 Early Hints"])
def test_an_interim_response_is_skipped(send: Send, status: str) -> None:
    """The final response that follows belongs to the same request, and not to the next one."""
    interim: Script = [f"HTTP/1.1 {status}\r\n\r\n".encode(), 0.1, reply(b'{"of": "first"}'), Step.KEEP]
    second: Script = [reply(b'{"of": "second"}'), Step.KEEP]
    with RawServer(interim, second) as server:
        assert [send(server.url, is_write=True).json(), send(server.url).json()] == [{"of": "first"}, {"of": "second"}]


def test_a_head_that_ends_too_early_is_no_response(send: Send) -> None:
    """The end of the connection is not the end of the head: the rest of it is unknown."""
    with (
        RawServer([b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"]) as server,
        pytest.raises(OutcomeUnknown),
    ):
        send(server.url, is_write=True)


def test_gzip_is_decompressed_although_it_was_not_requested(send: Send) -> None:
    """A proxy may compress all the same."""
    with RawServer([reply(gzip.compress(b'{"a": 1}'), "Content-Encoding: gzip")]) as server:
        assert send(server.url).json() == {"a": 1}


@pytest.mark.parametrize(
    "body", [b"", b"null", b"<html>", b'{"a":', b"[" * 100_000, b'{"a": "\\ud800"}', b"\xff", b"1" * 5000]
)
def test_a_body_that_is_not_json_is_none(body: bytes) -> None:
    """No body raises anything; half a surrogate pair is not JSON, because it cannot be written out again."""
    assert UpstreamResponse(200, {}, body, is_write=False).json() is None


def test_escaped_characters_are_decoded() -> None:
    """A complete surrogate pair is one character; the body is parsed once."""
    response = UpstreamResponse(200, {}, rb'{"a": "\u6a21\ud83d\ude00"}', is_write=False)
    assert response.json() == {"a": "模😀"}
    assert response.json() is response.json()


def test_the_state_is_that_of_the_last_exchange(
    client: UpstreamClient, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    """Unused, reachable, unreachable; a failure is logged with the names of its exceptions, without the address."""
    states = [client.state]
    with RawServer([reply(b"{}", status="500 Oops"), Step.KEEP], [Step.RESET]) as server:
        send(server.url)
        states.append(client.state)
        with caplog.at_level(logging.WARNING), pytest.raises(BackendUnavailable):
            send(server.url)
        states.append(client.state)
    assert states == ["unused", "reachable", "unreachable"]
    (record,) = (record for record in caplog.records if record.name == "gateway.transport")
    assert record.__dict__["fields"] == {
        "backend": "",
        "request_id": "test-request",
        "operation": None,
        "method": "GET",
        "error": "ConnectionResetError",
    }
    assert "127.0.0.1" not in record.getMessage()


def test_upstream_time_is_accumulated() -> None:
    """The caller's Server-Timing counts every exchange, including one that failed."""
    clock = SystemClock()
    client = UpstreamClient(TransportSettings(max_reply_bytes=10), clock)
    call = CallContext("r", clock.monotonic() + 3.0)
    with RawServer([reply(b"{}"), Step.KEEP], [0.05, reply(b" " * 11)]) as server:
        request = UpstreamRequest(method="GET", url=server.url, headers={})
        client.send(request, call)
        seconds = call.upstream_seconds
        with pytest.raises(BackendReplyInvalid):
            client.send(request, call)
    assert 0 < seconds < call.upstream_seconds


@pytest.mark.parametrize("is_write", [False, True])
@pytest.mark.parametrize("value", ["a\r\nX: y", "a\rb", "a\0b", "模块"])
def test_a_header_that_cannot_be_sent(value: str, is_write: bool) -> None:
    """A credential with a line break: nothing is sent, no connection is made, and the error does not contain it."""
    clock = SystemClock()
    with RawServer([reply(b"{}")]) as server:
        request = UpstreamRequest(
            method="POST", url=server.url, headers={"X-Auth-Token": value}, body=b"{}", is_write=is_write
        )
        with pytest.raises(BackendMisconfigured) as caught:
            UpstreamClient(TransportSettings(), clock).send(request, CallContext("r", clock.monotonic() + 3.0))
    assert server.connections == 0
    assert value not in str(caught.value)


def test_trace_headers_are_sent() -> None:
    """They are sent as received; a header of the adapter replaces one of the same name in any case."""
    clock = SystemClock()
    client = UpstreamClient(TransportSettings(), clock)
    with RawServer([reply(b"{}"), Step.KEEP]) as server:
        request = UpstreamRequest(method="GET", url=server.url, headers={"X-Request-Id": "ours"})
        trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-request-id": "theirs"}
        client.send(request, CallContext("r", clock.monotonic() + 3.0, trace=trace))
        client.close()
    sent = lines(server.requests[0])
    assert b"traceparent: " + trace["traceparent"].encode() in sent
    assert [line for line in sent if line.lower().startswith(b"x-request-id")] == [b"X-Request-Id: ours"]


class RecordingServices:
    """A tracer, its span, and a registry of secrets that record their calls."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.headers: Mapping[str, str] = {"traceparent": "00-ours"}

    def start_upstream_span(self, backend: str, method: str, trace: Mapping[str, str]) -> RecordingServices:
        self.calls.append((backend, method, dict(trace)))
        return self

    def end(self, result: str) -> None:
        self.calls.append(result)

    def add(self, secret: str) -> None:
        self.calls.append(("add", secret))

    def add_temporary(self, secret: str, seconds: float) -> None:
        self.calls.append(("add_temporary", secret, seconds > 0))

    def remove(self, secret: str) -> None:
        self.calls.append(("remove", secret))


def test_an_exchange_is_a_span() -> None:
    """It starts with the call's trace, its own headers replace those of the trace, and it ends with the result."""
    clock, services = SystemClock(), RecordingServices()
    client = UpstreamClient(TransportSettings(), clock, "cmdb", BackendServices(tracer=services))
    with RawServer([reply(b"{}"), Step.KEEP], [Step.RESET]) as server:
        request = UpstreamRequest(method="GET", url=server.url, headers={})
        client.send(request, CallContext("r", clock.monotonic() + 3.0, trace={"traceparent": "00-theirs"}))
        with pytest.raises(BackendUnavailable):
            client.send(request, CallContext("r", clock.monotonic() + 3.0))
        client.close()
    start = ("cmdb", "GET", {"traceparent": "00-theirs"})
    assert services.calls == [start, "2xx", ("cmdb", "GET", {}), "broken"]
    assert b"traceparent: 00-ours" in lines(server.requests[0])


def test_a_credential_is_redacted() -> None:
    """A new one at once; the one that it replaces for a limited time."""
    services = RecordingServices()
    client = UpstreamClient(TransportSettings(), SystemClock(), "pm", BackendServices(secrets=services))
    client.register_secret("first")
    client.register_secret("second", replaces="first")
    assert services.calls == [
        ("add", "first"),
        ("add", "second"),
        ("add_temporary", "first", True),
        ("remove", "first"),
    ]
    UpstreamClient(TransportSettings(), SystemClock()).register_secret("without a registry")


def test_a_document_is_fetched_at_each_call() -> None:
    """The fetcher does not cache."""
    with RawServer([reply(b'{"keys": []}'), Step.KEEP], [reply(b'{"keys": [1]}')]) as server:
        fetch = create_json_fetcher(f"{server.url}/keys", None, SystemClock())
        assert [fetch(), fetch()] == [{"keys": []}, {"keys": [1]}]
    assert server.requests[0].startswith(b"GET /keys HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "response",
    [reply(b"<html>"), reply(b"null"), reply(b'{"keys": []}', status="404 Not Found"), reply(b" " * 300_000)],
)
def test_a_response_that_is_no_document_is_an_error(response: bytes) -> None:
    """HTML, null, an error status, and more bytes than such a document has."""
    with RawServer([response]) as server, pytest.raises(BackendReplyInvalid):
        create_json_fetcher(server.url, None, SystemClock())()
