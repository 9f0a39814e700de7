"""What is answered in a reply's place by somebody who is no backend: a proxy, a balancer, a login page."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from flask import Response

from .kinds import Fault
from .wire import Plan

Answer = Callable[[Mapping[str, Any]], Response]

PAGE: Final = "<!DOCTYPE html>\n<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>\n"


def _status(parameters: Mapping[str, Any]) -> Response:
    status = parameters["status"]
    title = f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)
    bodies = {
        "empty": ("", "text/plain"),
        "html": (PAGE.format(title), "text/html"),
        "json": (json.dumps({"message": title}), "application/json"),
    }
    text, mimetype = bodies[parameters["body"]]
    return Response(text, status, mimetype=mimetype)


def _redirect(parameters: Mapping[str, Any]) -> Response:
    location = {"Location": parameters["location"]}
    return Response(PAGE.format("302 Found"), HTTPStatus.FOUND, location, mimetype="text/html")


# Kinds without an entry here leave the reply as it is, and spoil its way over the wire.
ANSWERS: Final[Mapping[str, Answer]] = {
    "html": lambda _: Response(PAGE.format("Sign in"), mimetype="text/html"),
    "status": _status,
    "redirect": _redirect,
}

_PLANS: Final[Mapping[str, Callable[[Mapping[str, Any], int], Plan]]] = {
    "drop": lambda _, __: Plan(most=0),
    "reset": lambda given, _: Plan(most=given["byte"], resets=True),
    "truncate": lambda given, length: Plan(
        most=length // 2 if given["bytes"] is None else given["bytes"], of_body=True
    ),
    "drip": lambda given, _: Plan(piece=given["bytes"], seconds=given["seconds"]),
}


def plan_for(faults: list[Fault | None], length: int) -> Plan | None:
    """Return how a reply with a body of `length` bytes leaves by the first of the faults that has a say in it."""
    named = (fault for fault in faults if fault and fault.kind.name in _PLANS)
    return next((_PLANS[fault.kind.name](fault.parameters, length) for fault in named), None)
