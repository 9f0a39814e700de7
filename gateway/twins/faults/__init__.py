"""Faults on order: what goes wrong between a client and a backend, at a chosen request, as often as asked.

An order is a JSON object:

    {"fault": "drop", "operation": "create", "times": 1, "after": 0, "effect": "now"}

* `operation`: `create`, `update`, `delete`, `list` (any read of modules), `token` (ProjectMan), a twin's own name of
  an operation as `GET /twin/requests` counts it (`search_set`, `list_members` …), or `*`, the default, for all.
* `after` lets so many matching requests pass first (default 0); `times` is how many are struck then (default 1,
  -1 for ever). Everything else is a parameter of the kind; `GET /twin/faults` lists kinds and defaults.

Three ways to order:

* `POST /twin/faults` with one order or a list of them, all taken (201) or none (400, `{"error": "…"}`).
  `GET /twin/faults` tells for each how many requests it has `seen` and `struck` and whether it is `pending`, what
  became of late writes, and the menu; `DELETE /twin/faults` forgets all orders (late writes still come).
* A seed's key `"faults": [order, …]`, so that `module-gateway twin cmdb --seed FILE` starts with them.
* A request's header `X-Twin-Fault: drop;effect=late;seconds=0.5`, for that one request; several after commas.

Kinds of every twin (defaults in brackets):

    delay         wait `seconds` [1.0] `when` [before] | after the commit
    drop          close the connection without a byte               `effect` [now]
    reset         RST when `byte` [0] bytes of the reply have left  `effect` [now]
    html          200 with an HTML page                             `effect` [now]
    status        `status` [503], `body` [empty] | html | json      `effect` [never]
    redirect      302 to `location` [/login]                        `effect` [never]
    truncate      close after `bytes` [half] of the body; Content-Length promises all of it
    drip          `bytes` [1] of the reply every `seconds` [0.1]
    read-lag      a write is hidden from reads of modules for `seconds` [1.0], but its name is taken
    clock-skew    the twin's clock is `seconds` [0] ahead for this request: creation times, signatures

and of one backend, with that backend's own codes and shapes:

    CMDB          proxy-timeout         1199998 inside HTTP 500            `effect` [never]
                  commit-failed         1199066                            `effect` [never]
                  rate-limited          1199997 inside HTTP 200
                  gateway-rate-limited  1642902, 429 (on the ESB 200); X-Bkapi-RateLimit-Reset: `reset` [1]
    ProjectMan    gateway-timeout       APIGW.0201, 504                    `effect` [never]
                  busy                  PM.02175000, 400                   `effect` [never]
                  rate-limited          PM.02153001, 400
                  gateway-rate-limited  APIGW.0308, 429
                  token-expired         every token issued so far answers APIGW.0307 from this request on

`effect` is what becomes of the request's write, whatever is answered: `now` (it is made, then the fault strikes),
`never`, or `late`: the fault strikes at once, and the write comes `seconds` [1.0] later, when all rules of its
backend are judged anew, duplicates too. (A request refused before it could write stays without a write.)

Faults of different sorts strike together: one of delay; one that answers (`drop` to `redirect`, and a backend's own);
one of truncate and drip; read-lag; clock-skew; token-expired. Of one sort the oldest order strikes first and the next
waits for the next request. Seconds are real ones, even where a twin is given a clock.

What really happened: `GET /twin/ledger` has every write that took effect, late ones when they do, with the labels of
the faults that struck it under `faults`. `GET /twin/requests` counts what arrived, struck or not, and
`GET /twin/attempts` lists the writes that arrived, with name, digest of the body and X-Request-Id: what was *sent*
twice is there twice, what was *applied* twice is in the ledger twice.

`POST /twin/reset` forgets orders (the seed's too), attempts and late writes, and hangs up on whoever is delayed.
"""

from .door import ENDPOINTS, Backend, Faults
from .kinds import ANSWER, BEARERS, WRITES, Kind, Number, effect
from .lag import ReadLag
from .orders import OrderInvalidError
from .strike import commit, labels, lag, skewed

__all__ = [
    "ANSWER",
    "BEARERS",
    "ENDPOINTS",
    "WRITES",
    "Backend",
    "Faults",
    "Kind",
    "Number",
    "OrderInvalidError",
    "ReadLag",
    "commit",
    "effect",
    "labels",
    "lag",
    "skewed",
]
