"""The faults that only CMDB and the gateways before it have; source: facts, sections 0, 4 and 5."""

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from flask import Response

from gateway.twins.cmdb.apigw import GatewayError
from gateway.twins.cmdb.apiserver import OPERATIONS, Reply, envelope
from gateway.twins.cmdb.refusals import Refusal
from gateway.twins.faults import ANSWER, Backend, Kind, Number, effect

FAMILY: Final = {
    "create_module": "create",
    "update_module": "update",
    "delete_module": "delete",
    "search_module": "list",
    "find_module_batch": "list",
    "find_module_with_relation": "list",
    "search_biz_inst_topo": "list",
    "get_biz_internal_module": "list",
}

KINDS: Final = (
    Kind(
        "proxy-timeout",
        ANSWER,
        "CMDB's own proxy gives up waiting: 1199998 inside HTTP 500 (inside 200 on the ESB)",
        effect("never"),
    ),
    Kind("commit-failed", ANSWER, "1199066: the transaction could not be committed, or so it is said", effect("never")),
    Kind("rate-limited", ANSWER, "1199997 inside HTTP 200: CMDB's own limiter"),
    Kind(
        "gateway-rate-limited",
        ANSWER,
        "1642902 inside HTTP 429 (inside 200 on the ESB), to be tried again after `reset` seconds",
        {"reset": Number(1, whole=True)},
    ),
)

TIMED_OUT: Final = 'proxy request failed, Post "http://topo_server/": net/http: timeout awaiting response headers'
RETRIED: Final = "commit transaction failed, error: retry transaction exceeds maximum count"

# How the front writes what CMDB, or the gateway before it, has answered.
Write = Callable[[Reply | GatewayError, Mapping[str, str]], Response]


def backend(write: Write) -> Backend:
    """Describe CMDB to the menu of faults."""
    answers: dict[str, Reply] = {
        "proxy-timeout": Reply(envelope(1199998, TIMED_OUT), own=True, status=HTTPStatus.INTERNAL_SERVER_ERROR),
        "commit-failed": Reply(envelope(1199066, RETRIED)),
        "rate-limited": Reply(
            {"result": False, "bk_error_code": 1199997, "bk_error_msg": "too many requests"}, own=True
        ),
    }
    operations = {each.name: FAMILY.get(each.name, "other") for each in OPERATIONS}
    return Backend(
        operations=operations,
        name_field="bk_module_name",
        refusal=Refusal,
        kinds=KINDS,
        answers={
            **{name: partial(_answer, write, reply) for name, reply in answers.items()},
            "gateway-rate-limited": partial(_limited, write),
        },
    )


def _answer(write: Write, reply: Reply, _parameters: Mapping[str, Any]) -> Response:
    return write(reply, {})


def _limited(write: Write, parameters: Mapping[str, Any]) -> Response:
    """Refuse as the API gateway does: no Retry-After, a header of its own (facts, section 5)."""
    text = 'API rate limit exceeded by stage strategy [reason="too many requests"]'
    refusal = GatewayError(HTTPStatus.TOO_MANY_REQUESTS, 1642902, "RATE_LIMIT_RESTRICTION", text)
    return write(refusal, {"X-Bkapi-RateLimit-Remaining": "0", "X-Bkapi-RateLimit-Reset": str(parameters["reset"])})
