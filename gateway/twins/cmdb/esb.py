"""The ESB in front of CMDB: forms, its envelope, always HTTP 200; source: facts, sections 0, 1(a) and 5."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.twins.cmdb.apiserver import Apiserver, Request
from gateway.twins.cmdb.components import COMMON, COMPONENTS, Component, Declined
from gateway.twins.cmdb.credentials import Flaw, identify, read_header
from gateway.twins.cmdb.seed import Seed
from gateway.twins.cmdb.store import Caller

PREFIX: Final = "/api/c/compapi/v2/cc/"
NOT_FOUND: Final = 1306404
ARGUMENT: Final = 1306406
CREDENTIALS: Final = ("bk_app_code", "bk_app_secret", "bk_token", "bk_username", "bk_signature", "access_token")
NO_USER: Final = "User authentication failed, please provide a valid user identity, such as bk_token, bk_username"

# Code and text by what is wrong with the credentials.
FLAWS: Final[dict[Flaw, tuple[int, str]]] = {
    Flaw.HEADER: (ARGUMENT, "Parameters error, request header X-Bkapi-Authorization is not a valid JSON"),
    Flaw.APP_MISSING: (COMMON, "APP Code [bk_app_code] cannot be empty"),
    Flaw.SECRET_MISSING: (COMMON, "APP Secret [bk_app_secret] cannot be empty"),
    Flaw.APP_UNKNOWN: (COMMON, "Invalid APP Code [bk_app_code], please confirm if the APP Code has been registered"),
    Flaw.SECRET_WRONG: (COMMON, "APP Secret verification failed, please confirm if the APP Secret and APP Code match"),
    Flaw.TOKEN_WRONG: (COMMON, "User authentication failed, please check if the bk_token is valid"),
}


@dataclass(frozen=True)
class Arrival:
    """A request at the ESB, with what it needs of the HTTP."""

    component: str
    query: Mapping[str, str]
    body: bytes
    authorization: str | None
    has_body: bool


def answer(seed: Seed, cmdb: Apiserver, arrival: Arrival, caller: Caller) -> dict[str, Any]:
    """Return the ESB's body for one request; `caller` comes without user and account, which are found here."""
    try:
        component = _component(arrival.component)
        given = _parameters(arrival)
        user = _user(seed, arrival, given)
        parameters = {name: value for name, value in given.items() if name not in CREDENTIALS}
        account = str(parameters.get("bk_supplier_account") or "0")
        request = _translate(component, {**parameters, "bk_supplier_account": account})
        reply = cmdb.answer(Caller(user, account, caller.english, caller.request_id, caller.headers), request)
        return envelope(caller, read(reply.body))
    except Declined as declined:
        return envelope(caller, {"bk_error_code": declined.code, "bk_error_msg": declined.message})


def _component(name: str) -> Component:
    if name not in COMPONENTS:
        raise Declined(NOT_FOUND, "Not found, component class not found")
    return COMPONENTS[name]


def read(body: Mapping[str, Any] | str) -> Mapping[str, Any]:
    """Return CMDB's answer; plain text from it is an error to the ESB."""
    if isinstance(body, str):
        raise Declined(COMMON, f"Request interface error, the response content is not a json string: {body}")
    return body


def envelope(caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ESB's body for what CMDB has answered, or the ESB by itself."""
    return {
        "result": raw["bk_error_code"] == 0,
        "code": raw["bk_error_code"],
        "data": raw.get("data"),
        "message": raw["bk_error_msg"],
        "permission": raw.get("permission"),
        "request_id": caller.request_id,
    }


def _parameters(arrival: Arrival) -> dict[str, Any]:
    """Read the query of a GET, else the body: JSON where it begins with a brace, a form where not."""
    if not arrival.has_body:
        return dict(arrival.query)
    text = arrival.body.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return dict(parse_qsl(text))
    try:
        return dict(json.loads(text))
    except ValueError:
        raise Declined(COMMON, "Request JSON string is wrong in format, which cannot be analyzed.") from None


def _user(seed: Seed, arrival: Arrival, given: Mapping[str, Any]) -> str:
    """Return the user; where the header is there, credentials in the parameters count for nothing."""
    identity = identify(seed, given if arrival.authorization is None else read_header(arrival.authorization))
    if identity.flaw:
        raise Declined(*FLAWS[identity.flaw])
    if not identity.user:
        raise Declined(COMMON, NO_USER)
    return identity.user


def _translate(component: Component, parameters: dict[str, Any]) -> Request:
    """Clean the parameters by the form and build CMDB's own request of them."""
    cleaned = dict(parameters)
    for field in component.form:
        cleaned[field.name] = field.clean(parameters.get(field.name))
    try:
        path = component.path.format(**cleaned)
    except KeyError as missing:
        raise Declined(ARGUMENT, f"Parameters error, param {missing.args[0]} is required") from None
    body: dict[str, Any] = {}
    for name in component.body:
        if name == "*":
            body |= parameters
        elif name == "data":
            body |= cleaned["data"] or {}
        elif cleaned.get(name) is not None:
            body[name] = cleaned[name]
    return Request(component.method, path, json.dumps(body).encode(), {})
