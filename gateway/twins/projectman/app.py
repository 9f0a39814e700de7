"""Puts the twin together: the published operations, the gate in front of them, and the one door replies leave by."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from flask import Flask, Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from gateway.twins.faults import ENDPOINTS, Faults, OrderInvalidError, skewed

from .faults import backend
from .gate import admit
from .refusals import Refusal, not_published, too_large
from .seed import SeedInvalidError, read_seed
from .views import Views
from .world import World

MAX_BODY: Final = 12 * 1024 * 1024  # bytes; the API gateway's own limit

# operation = method of Views → method and path. There is no operation that reads one module.
PUBLISHED: Final[Mapping[str, tuple[str, str]]] = {
    "create_module": ("POST", "/v4/projects/<project_id>/module"),  # singular, unlike the three below
    "list_modules": ("GET", "/v4/projects/<project_id>/modules"),
    "update_module": ("PUT", "/v4/projects/<project_id>/modules/<module_id>"),
    "delete_module": ("DELETE", "/v4/projects/<project_id>/modules/<module_id>"),
    "list_projects": ("GET", "/v4/projects"),
    "list_members": ("GET", "/v4/projects/<project_id>/members"),
    "show_user": ("GET", "/v4/user"),
    "issue_token": ("POST", "/v3/auth/tokens"),
    "list_iam_projects": ("GET", "/v3/projects"),
    "show_ledger": ("GET", "/twin/ledger"),
    "show_requests": ("GET", "/twin/requests"),
    "reset": ("POST", "/twin/reset"),
}
# The twin's own business; and where nobody is logged in yet.
UNCOUNTED: Final = ENDPOINTS | {"show_ledger", "show_requests", "reset"}
OPEN: Final = UNCOUNTED | {"issue_token"}


def _now() -> datetime:
    return datetime.now(UTC)


def create_twin(seed: Mapping[str, object] | None = None, *, clock: Callable[[], datetime] = _now) -> Flask:
    """Build a twin from a seed (see `seed.py`); `clock` gives the time with its zone; raises SeedInvalidError.

    The seed may order faults as well (see gateway.twins.faults).
    """
    app = Flask("projectman", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.url_map.merge_slashes = False  # a path that is nearly right is as unknown as any other
    planted = dict(seed or {})
    orders = planted.pop("faults", ())
    world = World(read_seed(planted), skewed(clock))
    views = Views(world)
    for operation, (method, path) in PUBLISHED.items():
        view = getattr(views, operation)
        app.add_url_rule(path, operation, view, methods=[method], provide_automatic_options=False)
    app.after_request(_leave)
    try:
        faults = Faults(app, backend(_refuse, world.void_tokens), orders)
    except OrderInvalidError as error:
        raise SeedInvalidError(f"faults: {error}") from error
    app.before_request(lambda: _arrive(world, faults))
    app.register_error_handler(Refusal, _refuse)
    app.register_error_handler(404, lambda _: _refuse(not_published()))
    app.register_error_handler(405, lambda _: _refuse(not_published()))
    app.register_error_handler(RequestEntityTooLarge, lambda _: _refuse(too_large()))
    return app


def _arrive(world: World, faults: Faults) -> None:
    """Count every request, then let in whom the gate knows; what is not published is refused unasked.

    Faults strike before the gate: the network does not know who asks.
    """
    operation = request.endpoint
    if operation not in UNCOUNTED:
        world.count(operation or "not_published")
    faults.arrive(operation)
    if operation is not None and operation not in OPEN:
        g.user = admit(world, request)


def _leave(reply: Response) -> Response:
    """Send a reply on its way: every reply, refusals too, passes here last."""
    reply.headers["X-Request-Id"] = _reply_id()
    if request.path.startswith("/v3/"):
        reply.headers["X-IAM-Trace-Id"] = _reply_id()
    return reply


def _refuse(refusal: Refusal) -> Response:
    body = json.dumps(refusal.body(_reply_id()), ensure_ascii=False)
    return Response(body, status=refusal.status, content_type="application/json;charset=UTF-8")


def _reply_id() -> str:
    """Return the upstream's own id of this exchange, which is never the caller's."""
    if "reply_id" not in g:
        g.reply_id = uuid4().hex
    return str(g.reply_id)
