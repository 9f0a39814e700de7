"""The OpenAPI document: it is valid, complete, and agrees with the service."""

from __future__ import annotations

import json
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

from gateway.api import openapi
from gateway.api.endpoint_spec import endpoint_spec
from gateway.api.schemas.fields import MAX_PAGE_SIZE
from gateway.domain.lookup import LookupItem
from tests.unit.api.fake_backend import FakeBackend, body

#: HTML pages, the document itself, and the metrics, whose format is Prometheus' own.
UNDESCRIBED = {"/", "/console", "/console/", "/console/<name>", "/docs", "/docs/<name>", "/openapi.json", "/metrics"}


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    openapi_document: dict[str, Any] = client.get("/openapi.json").get_json()
    return openapi_document


def test_valid(document: dict[str, Any]) -> None:
    """The document is OpenAPI 3.1."""
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1.")


def test_every_rule_has_a_spec(app: Flask) -> None:
    """Every rule of the service has a spec beside its view, except the pages, the document and the metrics."""
    described = {rule.rule for rule in app.url_map.iter_rules() if endpoint_spec(app.view_functions[rule.endpoint])}
    assert described == {rule.rule for rule in app.url_map.iter_rules()} - UNDESCRIBED


def test_every_spec_has_a_rule(app: Flask, document: dict[str, Any]) -> None:
    """The document has the paths and methods of exactly the described rules, and the same without an application."""
    routes = {
        (openapi.path_template(rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.rule not in UNDESCRIBED
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(path, method) for path, methods in document["paths"].items() for method in methods} == routes
    assert json.loads(json.dumps(openapi.build())) == document


def test_operations(document: dict[str, Any]) -> None:
    """Every operation has a unique id, a summary, and the problem document for its errors."""
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        assert operation["summary"]
        for failure in ("4XX", "5XX"):
            assert operation["responses"][failure]["content"].keys() == {"application/problem+json"}


def _schema(document: dict[str, Any], name: str) -> Any:
    return document["components"]["schemas"][name]


def test_custom_fields(document: dict[str, Any]) -> None:
    """Custom field types are described, with null where it is permitted."""
    draft = _schema(document, "Draft")["properties"]
    assert draft["scope"]["type"] == ["string", "integer"]
    assert draft["parent"]["type"] == ["string", "integer", "null"]
    assert draft["owners"]["type"] == ["array", "null"]
    assert _schema(document, "Module")["properties"]["created_at"]["type"] == ["string", "null"]
    parameters = document["paths"]["/modules"]["get"]["parameters"]
    (size,) = (parameter for parameter in parameters if parameter["name"] == "page_size")
    assert (size["schema"]["minimum"], size["schema"]["maximum"]) == (1, MAX_PAGE_SIZE)


def test_patch_fields(document: dict[str, Any]) -> None:
    """The body of a PATCH has the fields that can be changed, and not those whose change is refused."""
    content = document["paths"]["/modules/{id}"]["patch"]["requestBody"]["content"]
    (name,) = {media_type["schema"]["$ref"].rpartition("/")[2] for media_type in content.values()}
    assert _schema(document, name)["properties"].keys() == {"name", "description", "owners", "attributes"}
    assert content.keys() >= {"application/json"}


@pytest.fixture
def api_schema(app: Flask, cmdb: FakeBackend) -> Any:
    """The schemathesis schema of the service, which has one module and one choice for every lookup."""
    cmdb.choices = [LookupItem(id="1", name="demo", path="demo", why="template_managed")]
    app.test_client().post("/modules", json=body(cmdb))
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


#: Checks of every response; whether a valid request is accepted depends on the backend.
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]


OPERATIONS = [
    (path, name, spec) for path, methods in openapi.build()["paths"].items() for name, spec in methods.items()
]
MODES = [(path, method, GenerationMode.POSITIVE) for path, method, _ in OPERATIONS]
MODES += [
    (path, method, GenerationMode.NEGATIVE)
    for path, method, operation in OPERATIONS
    if "requestBody" in operation or any(parameter["in"] == "query" for parameter in operation["parameters"])
]


@pytest.mark.parametrize(("path", "method", "mode"), MODES)
def test_generated_requests(api_schema: Any, path: str, method: str, mode: GenerationMode) -> None:
    """Valid and invalid requests never get a 5xx; every response has the described status, type and schema."""

    @settings(
        max_examples=10, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=api_schema[path][method].as_strategy(generation_mode=mode))
    def exchange(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(checks=CHECKS)

    exchange()


ID = {"id": "cmdb.1.10.1"}
REQUESTS: list[tuple[str, str, dict[str, Any], int]] = [
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
    ("/backends/{name}/scopes", "get", {"path_parameters": {"name": "cmdb"}, "query": {"q": "d"}}, 200),
    ("/backends/{name}/scopes/{scope}/parents", "get", {"path_parameters": {"name": "cmdb", "scope": "1"}}, 200),
    ("/backends/{name}/scopes/{scope}/owners", "get", {"path_parameters": {"name": "cmdb", "scope": "1"}}, 404),
]


@pytest.mark.parametrize(("path", "method", "arguments", "status"), REQUESTS)
def test_successful_requests(
    api_schema: Any, cmdb: FakeBackend, path: str, method: str, arguments: dict[str, Any], status: int
) -> None:
    """Successful requests, which are seldom generated, get a described response too."""
    if method == "post":
        arguments = arguments | {"body": body(cmdb) | arguments["body"]}
    case = api_schema[path][method].Case(**arguments, media_type="application/json" if "body" in arguments else None)
    assert case.call_and_validate(checks=CHECKS).status_code == status
