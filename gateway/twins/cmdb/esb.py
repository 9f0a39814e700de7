"""The ESB in front of CMDB: components with their forms, and its envelope, always with HTTP 200.

Source: facts, sections 0, 1(a) and 5.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.twins.cmdb.apiserver import Apiserver, CmdbRequest
from gateway.twins.cmdb.credentials import AuthFailure, authenticate, parse_header
from gateway.twins.cmdb.seed import CmdbSeed
from gateway.twins.cmdb.store import RequestInfo

PREFIX: Final = "/api/c/compapi/v2/cc/"
COMMON_ERROR: Final = 1306000
COMPONENT_NOT_FOUND: Final = 1306404
ARGUMENT_ERROR: Final = 1306406
EMPTY_VALUES: Final[tuple[object, ...]] = (None, "", [], {})
INTEGER_PATTERN: Final = re.compile(r"\s*(-?\d{1,40})(\.0*)?\s*", re.ASCII)
CREDENTIAL_PARAMETERS: Final = frozenset(
    {"bk_app_code", "bk_app_secret", "bk_token", "bk_username", "bk_signature", "access_token"}
)
NO_USER: Final = "User authentication failed, please provide a valid user identity, such as bk_token, bk_username"
AUTH_ERRORS: Final[dict[AuthFailure, tuple[int, str]]] = {
    AuthFailure.HEADER_INVALID: (
        ARGUMENT_ERROR,
        "Parameters error, request header X-Bkapi-Authorization is not a valid JSON",
    ),
    AuthFailure.APP_MISSING: (COMMON_ERROR, "APP Code [bk_app_code] cannot be empty"),
    AuthFailure.SECRET_MISSING: (COMMON_ERROR, "APP Secret [bk_app_secret] cannot be empty"),
    AuthFailure.APP_UNKNOWN: (
        COMMON_ERROR,
        "Invalid APP Code [bk_app_code], please confirm if the APP Code has been registered",
    ),
    AuthFailure.SECRET_WRONG: (
        COMMON_ERROR,
        "APP Secret verification failed, please confirm if the APP Secret and APP Code match",
    ),
    AuthFailure.TOKEN_WRONG: (COMMON_ERROR, "User authentication failed, please check if the bk_token is valid"),
}


class EsbError(Exception):
    """An error of the ESB itself; the text is English in either language."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class FormField:
    """A field of a component's form; `type` is int, dict or list."""

    name: str
    label: str
    type: type
    required: bool = False

    def clean(self, value: object) -> Any:
        """Return the value that the form passes on: "3" becomes an int, an empty value of any type that of `type`.

        Raises EsbError.
        """
        if value in EMPTY_VALUES:
            if self.required:
                raise self._error("This field is required.")
            return None if value is None or self.type is int else self.type()
        if self.type is int:
            match = INTEGER_PATTERN.fullmatch(str(value))
            if not match:
                raise self._error("Enter a whole number.")
            return int(match[1])
        if not isinstance(value, self.type):
            raise self._error(f"Must be the specified parameter data type {self.type.__name__}")
        return value

    def _error(self, text: str) -> EsbError:
        return EsbError(COMMON_ERROR, f"{self.label} [{self.name}] {text}")


@dataclass(frozen=True)
class Component:
    """How the ESB translates a component; `body` names the parameters of CMDB's body, "*" stands for all."""

    method: str
    path: str
    form: tuple[FormField, ...] = ()
    body: tuple[str, ...] = ()


_BIZ: Final = FormField("bk_biz_id", "business id", int, required=True)
_SET: Final = FormField("bk_set_id", "set id", int, required=True)
_MODULE: Final = FormField("bk_module_id", "module id", int, required=True)
_SEARCH_FORM: Final = tuple(
    FormField(name, name, type_) for name, type_ in (("fields", list), ("condition", dict), ("page", dict))
)
_SEARCH_BODY: Final = ("fields", "condition", "page")
_MODULES_PATH: Final = "/module/{bk_biz_id}/{bk_set_id}"
COMPONENTS: Final[dict[str, Component]] = {
    "create_module": Component(
        "POST",
        _MODULES_PATH,
        (_BIZ, _SET, FormField("data", "data", dict, required=True)),
        ("data", "bk_supplier_account"),
    ),
    "update_module": Component(
        "PUT", _MODULES_PATH + "/{bk_module_id}", (_BIZ, _SET, _MODULE, FormField("data", "data", dict)), ("data",)
    ),
    "delete_module": Component("DELETE", _MODULES_PATH + "/{bk_module_id}", (_BIZ, _SET, _MODULE)),
    "search_module": Component(
        "POST",
        "/findmany/module/biz/{bk_biz_id}",
        (_BIZ, FormField("bk_set_id", "set id", int), *_SEARCH_FORM),
        ("bk_set_id", *_SEARCH_BODY),
    ),
    "search_set": Component(
        "POST", "/set/search/{bk_supplier_account}/{bk_biz_id}", (_BIZ, *_SEARCH_FORM), _SEARCH_BODY
    ),
    "search_business": Component("POST", "/biz/search/{bk_supplier_account}", _SEARCH_FORM, _SEARCH_BODY),
    "find_module_batch": Component("POST", "/findmany/module/bk_biz_id/{bk_biz_id}", body=("*",)),
    "get_biz_internal_module": Component("GET", "/topo/internal/{bk_supplier_account}/{bk_biz_id}", (_BIZ,)),
    "search_biz_inst_topo": Component("POST", "/find/topoinst/biz/{bk_biz_id}", (_BIZ,)),
    "get_service_template": Component(
        "GET",
        "/find/proc/service_template/{service_template_id}",
        (FormField("service_template_id", "service template id", int, required=True),),
    ),
    "search_object_attribute": Component("POST", "/find/objectattr", body=("*",)),
}


@dataclass(frozen=True)
class EsbRequest:
    """An HTTP request to the ESB."""

    component: str
    query: Mapping[str, str]
    body: bytes
    authorization: str | None
    has_body: bool


def handle(seed: CmdbSeed, cmdb: Apiserver, request: EsbRequest, info: RequestInfo) -> dict[str, Any]:
    """Return the ESB's envelope for a request; user and account are not in `info` yet, they are added here."""
    try:
        component = _find_component(request.component)
        parameters = _parse_parameters(request)
        user = _authenticate(seed, request, parameters)
        parameters = {name: value for name, value in parameters.items() if name not in CREDENTIAL_PARAMETERS}
        account = str(parameters.get("bk_supplier_account") or "0")
        cmdb_request = _build_cmdb_request(component, {**parameters, "bk_supplier_account": account})
        response = cmdb.handle(replace(info, user=user, account=account), cmdb_request)
        return envelope(info, require_json(response.body))
    except EsbError as error:
        return envelope(info, {"bk_error_code": error.code, "bk_error_msg": error.message})


def require_json(body: Mapping[str, Any] | str) -> Mapping[str, Any]:
    """Return CMDB's body; raises EsbError if it is plain text."""
    if isinstance(body, str):
        raise EsbError(COMMON_ERROR, f"Request interface error, the response content is not a json string: {body}")
    return body


def envelope(info: RequestInfo, cmdb_envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ESB's envelope for an envelope of CMDB."""
    return {
        "result": cmdb_envelope["bk_error_code"] == 0,
        "code": cmdb_envelope["bk_error_code"],
        "data": cmdb_envelope.get("data"),
        "message": cmdb_envelope["bk_error_msg"],
        "permission": cmdb_envelope.get("permission"),
        "request_id": info.request_id,
    }


def _find_component(name: str) -> Component:
    if name not in COMPONENTS:
        raise EsbError(COMPONENT_NOT_FOUND, "Not found, component class not found")
    return COMPONENTS[name]


def _parse_parameters(request: EsbRequest) -> dict[str, Any]:
    """Parse the query of a GET, or the body: as JSON if it starts with a brace, as a form otherwise."""
    if not request.has_body:
        return dict(request.query)
    text = request.body.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return dict(parse_qsl(text))
    try:
        return dict(json.loads(text))
    except ValueError:
        raise EsbError(COMMON_ERROR, "Request JSON string is wrong in format, which cannot be analyzed.") from None


def _authenticate(seed: CmdbSeed, request: EsbRequest, parameters: Mapping[str, Any]) -> str:
    """Return the user; credentials in the parameters count only without the header. Raises EsbError."""
    credentials = parameters if request.authorization is None else parse_header(request.authorization)
    identity = authenticate(seed, credentials)
    if identity.failure:
        raise EsbError(*AUTH_ERRORS[identity.failure])
    if not identity.user:
        raise EsbError(COMMON_ERROR, NO_USER)
    return identity.user


def _build_cmdb_request(component: Component, parameters: dict[str, Any]) -> CmdbRequest:
    """Validate the parameters by the form and build the request to CMDB; raises EsbError."""
    cleaned = dict(parameters)
    for field in component.form:
        cleaned[field.name] = field.clean(parameters.get(field.name))
    try:
        path = component.path.format(**cleaned)
    except KeyError as error:
        raise EsbError(ARGUMENT_ERROR, f"Parameters error, param {error.args[0]} is required") from None
    body: dict[str, Any] = {}
    for name in component.body:
        if name == "*":
            body |= parameters
        elif name == "data":
            body |= cleaned["data"] or {}  # its members, not the parameter itself
        elif cleaned.get(name) is not None:
            body[name] = cleaned[name]
    return CmdbRequest(component.method, path, json.dumps(body).encode(), {})
