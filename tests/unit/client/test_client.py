"""The client's calls, documents and connections."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, get_type_hints
from unittest import mock

import pytest
import requests
import responses
from responses import RequestsMock, matchers

from gateway.api.schemas import responses as schemas
from gateway.client import ApiError, Client, OutcomeUnknown, errors, models
from gateway.domain.errors import REGISTRY

URL = "http://gateway.test"
PAGES = {
    "list": (lambda client: client.list("cmdb", "1", parent="10", include_built_in=True), "/modules", "modules"),
    "operations": (lambda client: client.operations(state="ambiguous"), "/operations", "operations"),
    "scopes": (lambda client: client.scopes("cmdb", q="a"), "/backends/cmdb/scopes", "items"),
    "parents": (lambda client: client.parents("cmdb", "a/b"), "/backends/cmdb/scopes/a%2Fb/parents", "items"),
    "owners": (lambda client: client.owners("cmdb", "1"), "/backends/cmdb/scopes/1/owners", "items"),
}


@pytest.fixture
def mocked() -> Iterator[RequestsMock]:
    with RequestsMock(registry=responses.registries.OrderedRegistry) as mock:
        yield mock


@pytest.fixture
def client() -> Client:
    return Client(f"{URL}/", sleep=lambda _: None)


@pytest.mark.parametrize(("call", "path", "member"), PAGES.values(), ids=PAGES)
def test_pages_are_read_as_they_are_needed(
    mocked: RequestsMock, client: Client, call: Any, path: str, member: str
) -> None:
    """An iterator goes on with the token of each page, and reads no page before its elements are wanted."""
    mocked.get(URL + path, json={member: [1, 2], "next_page_token": "t"})
    mocked.get(
        URL + path,
        json={member: [3], "next_page_token": None},
        match=[matchers.query_param_matcher({"page_token": "t", "page_size": "200"}, strict_match=False)],
    )
    elements = call(client)
    assert [next(elements), next(elements)] == [1, 2]
    assert len(mocked.calls) == 1
    assert [*elements] == [3]


def test_changes_go_on_until_nothing_is_new(mocked: RequestsMock, client: Client) -> None:
    """With `follow`, they wait for new entries instead."""
    pages = [([{"seq": 4}], 4), ([], 4), ([{"seq": 5}], 5), ([], 5), ([{"seq": 6}], 6)]
    for changes, next_after in pages:
        mocked.get(f"{URL}/changes", json={"changes": changes, "next_after": next_after})
    assert [entry["seq"] for entry in client.changes()] == [4]
    followed = client.changes(after=4, follow=True)
    assert [next(followed)["seq"], next(followed)["seq"]] == [5, 6]
    assert mocked.calls[2].request.headers["Prefer"] == "wait=25"


def test_the_other_calls(mocked: RequestsMock, client: Client) -> None:
    """Each sends what the API describes and returns the document."""
    mocked.post(
        f"{URL}/modules",
        json={"would": "create"},
        match=[matchers.query_param_matcher({"validate_only": "true", "if_exists": "adopt"})],
    )
    assert client.preview({"name": "web"}, if_exists="adopt")["would"] == "create"
    mocked.get(f"{URL}/backends", json={"backends": [1]})
    assert len(client.backends()) == 1
    mocked.get(f"{URL}/backends/cmdb", json={"fields": []})
    assert client.backend("cmdb") == {"fields": []}
    for verdict, module in (("applied", "m"), ("not_applied", None)):
        mocked.post(f"{URL}/operations/o1:resolve", json={"state": "succeeded"}, headers={"Gateway-Outcome": "applied"})
        client.resolve("o1", verdict, "because", module=module)
    assert json.loads(mocked.calls[-1].request.body or b"") == {"verdict": "not_applied", "reason": "because"}
    assert json.loads(mocked.calls[-2].request.body or b"")["module"] == "m"


@pytest.mark.parametrize(
    ("credential", "header"),
    [({"api_key": "key"}, ("X-Api-Key", "key")), ({"token": lambda: "jwt"}, ("Authorization", "Bearer jwt"))],
)
def test_credentials(
    mocked: RequestsMock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, credential: Any, header: Any
) -> None:
    """The credential is sent, and none of .netrc takes its place; one that no header can hold is refused unseen."""
    (tmp_path / "netrc").write_text("machine gateway.test login a password b", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    mocked.get(f"{URL}/modules/m", json={"id": "m"})
    Client(URL, **credential).get("m")
    sent = mocked.calls[0].request.headers
    assert {name: sent[name] for name in ("X-Api-Key", "Authorization") if name in sent} == dict([header])
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        Client(URL, api_key="sécret").get("m")
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("module_id", ["", ".", ".."])
def test_an_id_stays_one_segment(client: Client, module_id: str) -> None:
    """No id is another path."""
    with pytest.raises(ValueError, match="is not an id"):
        client.get(module_id)


def test_a_url_has_a_scheme() -> None:
    """HOST:PORT alone is no URL."""
    with pytest.raises(ValueError, match="must begin with http"):
        Client("127.0.0.1:8000")


def test_idle_connections_are_not_used_again(mocked: RequestsMock, client: Client) -> None:
    """A server may close them at any moment, and a lost update is an unknown one."""
    with mock.patch.object(requests.Session, "close", autospec=True) as close:
        for seconds in (100.0, 110.0, 200.0):
            mocked.get(f"{URL}/modules/m", json={"id": "m"})
            with mock.patch("gateway.client.client.time.monotonic", return_value=seconds):
                client.get("m")
    assert close.call_count == 2


class _Handler(BaseHTTPRequestHandler):
    """Answers each request with the next of the server's texts, and closes."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        for part in self.server.answers.pop(0):  # type: ignore[attr-defined]
            self.wfile.write(part)
            self.wfile.flush()
            self.server.gate.wait(0.2 if len(part) == 1 else 0.0)  # type: ignore[attr-defined]

    def log_message(self, *_args: object) -> None:
        return


@contextmanager
def serve(answers: list[list[bytes]]) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.answers, server.gate = answers, threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.gate.set()  # type: ignore[attr-defined]
            server.shutdown()
            thread.join()


HEAD = b"HTTP/1.1 201 CREATED\r\nGateway-Outcome: applied\r\nContent-Type: application/json\r\n"
WHOLE = [HEAD + b'Content-Length: 11\r\n\r\n{"id": "m"}']
BROKEN = {
    "nothing": [b""],
    "a part": [HEAD + b'Content-Length: 11\r\n\r\n{"id"'],
    "a part of chunks": [HEAD + b'Transfer-Encoding: chunked\r\n\r\nb\r\n{"id"'],
    "drops": [HEAD + b"Content-Length: 11\r\n\r\n", *[b"x"] * 11],
}


@pytest.mark.loopback
@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_is_not_whole_is_no_success(answer: list[bytes]) -> None:
    """It is a lost one, however much of it came, and however slowly: the create is repeated."""
    with serve([answer, WHOLE]) as url:
        assert Client(url, attempt_timeout=0.5, timeout=30).create({"name": "web"})["id"] == "m"
    with serve([answer]) as url, pytest.raises(OutcomeUnknown):
        Client(url, timeout=0.3).create({"name": "web"})


@pytest.mark.loopback
def test_a_port_on_which_nothing_listens(socket_enabled: None) -> None:
    """Nothing was sent: not applied, also for a create."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ApiError) as caught:
        Client(f"http://127.0.0.1:{port}", timeout=0.1).create({"name": "web"})
    assert (caught.value.code, caught.value.outcome, caught.value.status) == ("connection_failed", "not_applied", 0)


def test_the_documents_are_those_of_the_api() -> None:
    """Each typed dictionary has the members of the schema that the server dumps."""
    names = {"Module": "ModuleSchema", "Problem": "ProblemSchema", "FieldError": "FieldErrorSchema"}
    names |= {"Upstream": "UpstreamSchema", "Owner": "OwnerSchema", "Check": "CheckSchema", "Preview": "PreviewSchema"}
    names |= {"BatchSummary": "BatchSummarySchema", "BatchItemResult": "BatchItemResultSchema"}
    names |= {"BatchResult": "BatchResultSchema", "Evidence": "EvidenceSchema", "Operation": "OperationSchema"}
    names |= {"Change": "ChangeSchema", "LookupItem": "LookupItemSchema", "BackendSummary": "BackendSummarySchema"}
    for model, schema in names.items():
        fields = getattr(schemas, schema)().fields
        assert set(get_type_hints(getattr(models, model))) == {
            field.data_key or name for name, field in fields.items()
        }, model


def test_every_class_is_of_registered_codes() -> None:
    """The table names only codes of the registry or of the client; the class of every retryable one says so."""
    classes = errors._CLASSES
    assert set(classes) <= set(REGISTRY) | set(errors.CLIENT_CODES)
    retryable = {code for code, error in REGISTRY.items() if error.retryable} - {"request_timeout"}
    assert all(issubclass(classes[code], errors.Unavailable | errors.OutcomeUnknown) for code in retryable)


SERVER = ("apispec", "flask", "gevent", "gunicorn", "marshmallow", "orjson", "psycopg", "rich", "werkzeug")


@pytest.mark.parametrize("module", ["gateway.client", "gateway.cli"])
def test_the_client_imports_nothing_of_the_server(module: str) -> None:
    """It starts where none of the server's dependencies can be imported; the commands import neither until they run."""
    blocked = (*SERVER, "requests") if module == "gateway.cli" else SERVER
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); import {module}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name for name in result.stdout.split() if name.startswith("gateway.")}
    assert {name.split(".")[1] for name in loaded} == {module.split(".")[1]}
