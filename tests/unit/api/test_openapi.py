"""The OpenAPI document: valid, complete, and kept by the service that serves it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from gateway.api.openapi import OPERATIONS, Operation
from gateway.api.schemas.fields import MAX_PAGE_SIZE
from tests.unit.api.fake import FakeBackend, body

#: Addresses for people, for the document itself, and for a collector with a format of its own.
UNDESCRIBED = {"/docs", "/docs/<name>", "/openapi.json", "/metrics"}


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    served: dict[str, Any] = client.get("/openapi.json").get_json()
    return served


def test_valid(document: dict[str, Any]) -> None:
    """The document is OpenAPI 3.1."""
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1.")


def test_every_route(app: Flask, document: dict[str, Any]) -> None:
    """Every address and method of the service is in the document, and nothing else is."""
    routes = {
        (re.sub(r"<(?:\w+_)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.rule not in UNDESCRIBED
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert described == routes


def test_operations(document: dict[str, Any]) -> None:
    """Every operation has a name of its own, a summary, and the envelope for its failures."""
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        assert operation["summary"]
        for failure in ("4XX", "5XX"):
            assert operation["responses"][failure]["content"].keys() == {"application/problem+json"}


def _schema(document: dict[str, Any], name: str) -> Any:
    return document["components"]["schemas"][name]


def test_own_kinds(document: dict[str, Any]) -> None:
    """The kinds of fields that marshmallow does not know are described too, null where it is allowed."""
    draft = _schema(document, "Draft")["properties"]
    assert draft["scope"]["type"] == ["string", "integer"]
    assert draft["parent"]["type"] == ["string", "integer", "null"]
    assert draft["owners"]["type"] == ["array", "null"]
    assert _schema(document, "Module")["properties"]["created_at"]["type"] == ["string", "null"]
    (size,) = (each for each in document["paths"]["/modules"]["get"]["parameters"] if each["name"] == "page_size")
    assert (size["schema"]["minimum"], size["schema"]["maximum"]) == (1, MAX_PAGE_SIZE)


def test_system_fields_are_not_offered(document: dict[str, Any]) -> None:
    """A patch offers what can be changed, and not the fields whose change is refused."""
    content = document["paths"]["/modules/{id}"]["patch"]["requestBody"]["content"]
    (name,) = {each["schema"]["$ref"].rpartition("/")[2] for each in content.values()}
    assert _schema(document, name)["properties"].keys() == {"name", "description", "owners", "attributes"}
    assert content.keys() >= {"application/json"}


@pytest.fixture
def served(app: Flask, cmdb: FakeBackend) -> Any:
    """The service with a module in it, as its document describes it."""
    app.test_client().post("/modules", json=body(cmdb))
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


#: What the document promises of every reply; whether a request that looks sound is taken, backends decide.
PROMISES = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]


MODES = [(each, GenerationMode.POSITIVE) for each in OPERATIONS]
MODES += [(each, GenerationMode.NEGATIVE) for each in OPERATIONS if each.query or each.body]


@pytest.mark.parametrize(("operation", "mode"), MODES, ids=lambda each: each.name)
def test_kept(served: Any, operation: Operation, mode: GenerationMode) -> None:
    """Whatever is sent to an operation, sound or not: no 5xx, and a reply of the described status, type and form."""

    @settings(
        max_examples=10, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=served[operation.path][operation.method].as_strategy(generation_mode=mode))
    def exchange(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(checks=PROMISES)

    exchange()


ID = {"id": "cmdb.1.10.1"}
SOUND: list[tuple[str, str, dict[str, Any], int]] = [
    ("/modules", "post", {"body": {"name": "other"}}, 201),
    ("/modules", "post", {"body": {}, "query": {"if_exists": "adopt"}}, 200),
    ("/modules", "post", {"body": {}, "query": {"validate_only": "true"}}, 200),
    ("/modules", "post", {"body": {}}, 409),
    ("/modules", "post", {"body": {"scope": "2"}}, 422),
    ("/modules", "get", {"query": {"backend": "cmdb", "scope": "1"}}, 200),
    ("/modules/{id}", "get", {"path_parameters": ID}, 200),
    ("/modules/{id}", "patch", {"path_parameters": ID, "body": {"name": "renamed", "owners": None}}, 200),
    ("/modules/{id}", "delete", {"path_parameters": ID}, 204),
    ("/backends/{name}", "get", {"path_parameters": {"name": "projectman"}}, 200),
]


@pytest.mark.parametrize(("path", "method", "sent", "status"), SOUND)
def test_kept_by_what_succeeds(
    served: Any, cmdb: FakeBackend, path: str, method: str, sent: dict[str, Any], status: int
) -> None:
    """The replies that chance seldom meets, the successful ones, keep the document as well."""
    if method == "post":
        sent = sent | {"body": body(cmdb) | sent["body"]}
    case = served[path][method].Case(**sent, media_type="application/json" if "body" in sent else None)
    assert case.call_and_validate(checks=PROMISES).status_code == status
