"""Fault injection for the twins: a rule makes chosen requests fail in a chosen way.

A rule is a JSON object:

    {"fault": "drop", "operation": "create", "times": 1, "after": 0, "effect": "now"}

* `operation`: `create`, `update`, `delete`, `list` (any read of modules), `token` (ProjectMan), the twin's own name of
  an operation as `GET /twin/requests` counts it (`search_set`, `list_members` …), or `*` for all operations (default).
* `after`: how many matching requests pass unharmed first (default 0); `times`: how many fail then (default 1, -1 for
  no limit). Every other member is a parameter of the fault; `GET /twin/faults` lists all faults with their defaults.

Rules are added in three ways:

* `POST /twin/faults` with one rule or a list. All are added (201) or none (400, `{"error": "…"}`).
  `GET /twin/faults` returns each rule with the number of requests that it has `seen` and `struck` and whether it is
  still `pending`, the delayed writes, and the menu of faults. `DELETE /twin/faults` removes all rules; delayed writes
  still take effect.
* The key `"faults": [rule, …]` of a seed.
* The header `X-Twin-Fault: drop;effect=late;seconds=0.5` of a request, for this request; commas separate several.

Faults of every twin (defaults in brackets):

    delay         wait `seconds` [1.0] `when` [before] | after the commit
    drop          close the connection without sending a byte              `effect` [now]
    reset         send RST after `byte` [0] bytes of the response          `effect` [now]
    html          200 with an HTML page                                    `effect` [now]
    status        `status` [503], `body` [empty] | html | json             `effect` [never]
    redirect      302 to `location` [/login]                               `effect` [never]
    truncate      close after `bytes` [half] of the body; Content-Length is that of the whole body
    drip          send `bytes` [1] of the response every `seconds` [0.1]
    read-lag      hide the write from reads of modules for `seconds` [1.0]; its name is in use at once
    clock-skew    set the twin's clock `seconds` [0] ahead for this request: creation times, signatures

Faults of one backend, with that backend's codes and response formats:

    CMDB          proxy-timeout         1199998 with HTTP 500                  `effect` [never]
                  commit-failed         1199066                                `effect` [never]
                  write-conflict        1199020                                `effect` [never]
                  rate-limited          1199997 with HTTP 200
                  gateway-rate-limited  1642902, 429 (200 on the ESB); X-Bkapi-RateLimit-Reset: `reset` [1]
    ProjectMan    gateway-timeout       APIGW.0201, 504                        `effect` [never]
                  busy                  PM.02175000, 400                       `effect` [never]
                  rate-limited          PM.02153001, 400
                  gateway-rate-limited  APIGW.0308, 429
                  token-expired         all issued tokens are answered with APIGW.0307 from this request on

`effect` says what happens to the write: `now` (it is applied before the fault), `never`, or `late`: the fault comes at
once and the write is applied `seconds` [1.0] later, after the backend's rules were checked again. A request that the
backend rejects before the write has no effect in any case.

One fault of each category applies to a request: one delay; one response (`drop` to `redirect`, and the backend's own);
one of truncate and drip; read-lag; clock-skew; token-expired. Within a category the oldest rule applies and the next
waits for another request. Seconds are real time, also for a twin with an injected clock.

`GET /twin/ledger` lists every write that was applied, with the faults that applied to it under `faults`.
`GET /twin/requests` counts all requests. `GET /twin/attempts` lists the writes that arrived, with name, digest of the
body and X-Request-Id: a write sent twice is there twice, a write applied twice is in the ledger twice.

`POST /twin/reset` removes rules (the seed's too), attempts and delayed writes, and closes delayed connections.
"""
