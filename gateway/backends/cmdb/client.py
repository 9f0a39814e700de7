"""CMDB's two APIs: the ESB (POST only, ids in the body) and the API gateway (REST, ids in the path)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gateway import json_codec
from gateway.backends.cmdb.auth import AuthHeaders
from gateway.backends.cmdb.errors import ERRORS, is_app_rejected, parse_failure
from gateway.backends.cmdb.options import Options
from gateway.domain.backend import CallContext
from gateway.domain.errors import FieldError, ValidationFailed
from gateway.domain.messages import message
from gateway.domain.runtime import Clock
from gateway.domain.telemetry import UpstreamMetrics
from gateway.transport import UpstreamClient, UpstreamRequest, UpstreamResponse
from gateway.transport.credentials import RotatingCredentials, Version

#: How long a refused app secret is not sent again, in seconds; no lock is known that more attempts would cause.
_REJECTED_BACKOFF: Final = 10.0
_WRITES: Final = frozenset({"create", "update", "delete"})
#: What topo_server answers to a path that it does not know; with IAM off the HTTP status is 200.
_PLAIN_TEXT: Final = re.compile(rb"404: Page Not Found|405: Method Not Allowed")
#: The code for a name that is too long. CMDB's text ends with the limit in characters, in every language:
#: `… maximum value %!s(int=32)`, `…最大值32`.
_NAME_TOO_LONG: Final = "1199073"
_LAST_NUMBER: Final = re.compile(r"([0-9]{1,4})\)?\Z", re.ASCII)
_ENVELOPE_KEYS: Final = frozenset({"result", "code", "bk_error_code", "code_name"})


@dataclass(frozen=True, slots=True)
class ModulePath:
    """The ids of business, set and module; 0 means any."""

    biz: int
    set: int = 0
    module: int = 0


class RequestParts(NamedTuple):
    """The parts of a request that depend on the route and the operation."""

    method: str
    path: str
    body: Mapping[str, Any] | None


RequestBuilder = Callable[[ModulePath, Mapping[str, Any]], RequestParts]


def _esb(component: str, *id_keys: str, nested: bool = False) -> RequestBuilder:
    """Return a builder for an ESB component: its body has the ids, and the payload beside them or nested in `data`."""

    def build(path: ModulePath, payload: Mapping[str, Any]) -> RequestParts:
        ids = {"bk_biz_id": path.biz, "bk_set_id": path.set, "bk_module_id": path.module}
        body: dict[str, Any] = {key: ids[key] for key in id_keys if ids[key]}
        body |= {"data": payload} if nested else payload
        return RequestParts("POST", f"/api/c/compapi/v2/cc/{component}/", body)

    return build


def _apigw(method: str, path_template: str, *, has_body: bool = True) -> RequestBuilder:
    """Return a builder for a resource: the ids in the path, the payload as the body."""

    def build(path: ModulePath, payload: Mapping[str, Any]) -> RequestParts:
        url_path = path_template.format(biz=path.biz, set=path.set, module=path.module)
        return RequestParts(method, url_path, payload if has_body else None)

    return build


def _service_template(path: str) -> RequestBuilder:
    """Return a builder for the read of the service template whose id is in the payload."""
    return lambda _path, payload: RequestParts("GET", f"{path}{payload['id']}", None)


#: By route and operation. The API gateway ignores the supplier account in its paths; 0 is the only one in use.
_REQUEST_BUILDERS: Final[Mapping[str, Mapping[str, RequestBuilder]]] = {
    "esb": {
        "create": _esb("create_module", "bk_biz_id", "bk_set_id", nested=True),
        "update": _esb("update_module", "bk_biz_id", "bk_set_id", "bk_module_id", nested=True),
        "delete": _esb("delete_module", "bk_biz_id", "bk_set_id", "bk_module_id"),
        "search": _esb("search_module", "bk_biz_id", "bk_set_id"),
        "search_set": _esb("search_set", "bk_biz_id"),
        "search_business": _esb("search_business"),
        "template": _service_template("/api/c/compapi/v2/cc/get_service_template/?service_template_id="),
    },
    "apigw": {
        "create": _apigw("POST", "/api/v3/module/{biz}/{set}"),
        "update": _apigw("PUT", "/api/v3/module/{biz}/{set}/{module}"),
        "delete": _apigw("DELETE", "/api/v3/module/{biz}/{set}/{module}", has_body=False),
        "search": _apigw("POST", "/api/v3/module/search/0/{biz}/{set}"),
        "search_set": _apigw("POST", "/api/v3/set/search/0/{biz}"),
        "search_business": _apigw("POST", "/api/v3/biz/search/0"),
        "template": _service_template("/api/v3/find/proc/service_template/"),
    },
}


class CmdbClient:
    """Sends the operations of one connection; raises a GatewayError for every response that is not a success."""

    def __init__(
        self,
        name: str,
        options: Options,
        transport: UpstreamClient,
        clock: Clock,
        metrics: UpstreamMetrics | None = None,
    ) -> None:
        self.transport: Final = transport
        self._name = name
        self._base_url = options.base_url
        self._auth = AuthHeaders(options)
        self._credentials = RotatingCredentials(
            (options.app_secret,), clock, backoff_seconds=_REJECTED_BACKOFF, is_rejection=is_app_rejected
        )
        self._request_builders = _REQUEST_BUILDERS[options.route]
        self._metrics = metrics

    def request(
        self, operation: str, path: ModulePath, payload: Mapping[str, Any], call: CallContext
    ) -> tuple[UpstreamResponse, Any]:
        """Send one request; return the response and the `data` of its envelope."""
        parts = self._request_builders[operation](path, payload)
        body = None if parts.body is None else json_codec.dumps(parts.body)

        name = str(payload.get("bk_module_name", ""))

        def exchange(secrets: Version) -> tuple[UpstreamResponse, Any]:
            request = UpstreamRequest(
                method=parts.method,
                url=self._base_url + parts.path,
                headers={**self._auth.headers(call, secrets[0]), "X-Request-Id": call.request_id},
                body=body,
                is_write=operation in _WRITES,
            )
            response = self.transport.send(request, call)
            return response, unwrap_envelope(response, self._name, operation, self._metrics, name)

        return self._credentials.run(exchange, call)


def unwrap_envelope(
    response: UpstreamResponse, backend: str, operation: str, metrics: UpstreamMetrics | None = None, name: str = ""
) -> Any:
    """Return the `data` of an envelope of success; raise the error that any other response means.

    Business errors come with HTTP 200. The ESB's gateway rewrites every status to 200 and reports its own errors in
    the header X-Bkapi-Error-Code.
    """
    body = response.json()
    fallback_code = response.headers.get("X-Bkapi-Error-Code")
    if not isinstance(body, dict) or body.keys().isdisjoint(_ENVELOPE_KEYS):
        if _PLAIN_TEXT.match(response.body):
            fallback_code = response.body[:3].decode()  # the text starts with the status
        elif response.ok and fallback_code is None:
            raise response.invalid_response("no_envelope")
        body = {}
    elif body.get("result") is True and fallback_code is None and response.ok:
        return body.get("data")
    failure = parse_failure(response, body, backend=backend, operation=operation, fallback_code=fallback_code)
    error = ERRORS.to_error(failure, metrics, response.log_fields)
    if failure.code == _NAME_TOO_LONG and (limit_match := _LAST_NUMBER.search(failure.message)):
        detail = message("too_long", value=name, maximum=int(limit_match[1]))
        raise ValidationFailed(errors=[FieldError("/name", "too_long", detail)], context=error.context)
    raise error


def parse_rows(response: UpstreamResponse, data: Any, noun: str) -> Sequence[Any]:
    """Return the rows of a search; `noun` names them in the error for data without rows.

    For no rows CMDB may write null, as `data` or, with the count 0, as `info`: Go encodes a nil slice that way.
    """
    if data is None:
        return ()
    body = data if isinstance(data, dict) else {}
    rows = body.get("info")
    if rows is None and "info" in body and not body.get("count"):
        return ()
    if not isinstance(rows, list):
        raise response.invalid_response(f"no_{noun}")
    return rows
