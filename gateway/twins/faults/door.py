"""Stands at a twin's door: takes orders, lets faults strike what comes in and what goes out, keeps count of both."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from flask import Flask, Response, g, request

from gateway.twins.server import CLOSING, WIRE

from .answers import ANSWERS, Answer, plan_for
from .attempts import Attempts
from .kinds import ANSWER, KINDS, PACE, Kind
from .kinds import WIRE as WIRE_SLOT
from .menu import Menu
from .orders import WRITE_FAMILIES, Book, OrderInvalidError
from .strike import Strike, Withheld, current
from .waits import Interrupted, LateWrites, Waits
from .wire import Plan, Wire

HEADER: Final = "X-Twin-Fault"
PATH: Final = "/twin/faults"
RESET: Final = ("POST", "/twin/reset")
# Endpoints that are the twin's own business: never struck, never counted, open to all.
ENDPOINTS: Final = frozenset({"take_orders", "show_orders", "forget_orders", "show_attempts"})


@dataclass(frozen=True)
class Backend:
    """What a twin tells of the backend it plays."""

    operations: Mapping[str, str]  # its own name of an operation → create, update, delete, list, token or other
    name_field: str  # the field of a create or update that holds the module's name
    refusal: type[Exception]  # what its rules raise
    kinds: tuple[Kind, ...] = ()
    answers: Mapping[str, Answer] = field(default_factory=dict)
    strokes: Mapping[str, Callable[[], None]] = field(default_factory=dict)  # done as the request comes in


class Faults:
    """The faults of one twin; `orders` are those of its seed. Raises OrderInvalidError."""

    def __init__(self, app: Flask, backend: Backend, orders: object = ()) -> None:
        self._backend = backend
        self._menu = Menu(Book({kind.name: kind for kind in (*KINDS, *backend.kinds)}, backend.operations))
        self._menu.add(orders)
        self._answers = {**ANSWERS, **backend.answers}
        self._waits = Waits()
        self._late = LateWrites(backend.refusal)
        self._attempts = Attempts(backend.name_field)
        app.add_url_rule(PATH, "take_orders", self._take, methods=["POST"], provide_automatic_options=False)
        app.add_url_rule(PATH, "show_orders", self._show, methods=["GET"], provide_automatic_options=False)
        app.add_url_rule(PATH, "forget_orders", self._forget, methods=["DELETE"], provide_automatic_options=False)
        app.add_url_rule("/twin/attempts", "show_attempts", self._show_attempts, provide_automatic_options=False)
        app.before_request(self._reset)
        app.after_request(self._leave)
        app.register_error_handler(Withheld, lambda _: Response())
        app.register_error_handler(OrderInvalidError, _refuse)
        app.extensions[CLOSING] = self._interrupt

    def arrive(self, operation: str | None) -> None:
        """Let a request in, or raise Withheld; an operation the backend has no word for is let be."""
        if operation is None or operation not in self._backend.operations:
            return
        request.get_data()  # now: whatever is answered, the client has sent it all
        faults = self._menu.draw(operation, request.headers.get(HEADER), bears_token="X-Auth-Token" in request.headers)
        g.strike = strike = Strike(faults, self._late)
        if self._backend.operations[operation] in WRITE_FAMILIES:
            self._attempts.note(operation, request, strike.labels)
        for name in faults.keys() & self._backend.strokes:
            self._backend.strokes[name]()
        if (pace := faults.get(PACE)) and pace.parameters["when"] == "before":
            self._wait(pace.parameters["seconds"])
        if (answer := faults.get(ANSWER)) and answer.effect == "never":
            raise Withheld

    def _leave(self, reply: Response) -> Response:
        """Put another reply in this one's place, and say how it is to travel."""
        strike = current()
        pace, answer = strike.faults.get(PACE), strike.faults.get(ANSWER)
        if pace and pace.parameters["when"] == "after":
            try:
                self._waits.wait(pace.parameters["seconds"])
            except Interrupted:
                self._send_by(Plan(most=0))
        if answer and answer.kind.name in self._answers:
            reply = self._answers[answer.kind.name](answer.parameters)
        plan = plan_for([answer, strike.faults.get(WIRE_SLOT)], reply.calculate_content_length() or 0)
        if plan:
            self._send_by(plan)
        return reply

    def _wait(self, seconds: float) -> None:
        try:
            self._waits.wait(seconds)
        except Interrupted:
            self._send_by(Plan(most=0))
            raise Withheld from None

    def _send_by(self, plan: Plan) -> None:
        """Tell the server, where there is one, to write the reply by a plan; the first plan counts."""
        environ = request.environ
        if WIRE in environ:
            connection = environ["werkzeug.socket"]
            environ[WIRE].append(partial(Wire, connection=connection, plan=plan, wait=self._waits.wait))

    def _take(self) -> Response:
        try:
            given = json.loads(request.get_data())
        except (ValueError, RecursionError):
            raise OrderInvalidError("the body is not JSON") from None
        return _json({"faults": self._menu.add(given)}, 201)

    def _show(self) -> Response:
        return _json({**self._menu.told(), "late_writes": self._late.told()})

    def _forget(self) -> Response:
        self._menu.clear()
        return Response(status=204)

    def _show_attempts(self) -> Response:
        return _json({"attempts": self._attempts.told()})

    def _reset(self) -> None:
        """Clear the table before the twin lays its seed anew."""
        if (request.method, request.path) == RESET:
            self._menu.clear()
            self._interrupt()
            self._attempts.clear()

    def _interrupt(self) -> None:
        self._waits.interrupt()
        self._late.cancel()


def _refuse(error: OrderInvalidError) -> Response:
    return _json({"error": str(error)}, 400)


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    return Response(
        json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"), status, mimetype="application/json"
    )
