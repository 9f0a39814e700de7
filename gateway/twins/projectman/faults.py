"""The faults that only ProjectMan and the API gateway before it have; source: facts, sections 3 and 4."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from flask import Response

from gateway.twins.faults import ANSWER, BEARERS, Backend, Kind, effect

from .refusals import ApigwRefusal, Refusal

FAMILY: Final = {
    "create_module": "create",
    "update_module": "update",
    "delete_module": "delete",
    "list_modules": "list",
    "issue_token": "token",
    "list_projects": "other",
    "list_members": "other",
    "show_user": "other",
    "list_iam_projects": "other",
}

KINDS: Final = (
    Kind("gateway-timeout", ANSWER, "APIGW.0201 inside 504: the API gateway has waited in vain", effect("never")),
    Kind("busy", ANSWER, "PM.02175000 inside 400: the service is busy", effect("never")),
    Kind("rate-limited", ANSWER, "PM.02153001 inside 400: the service's own limit"),
    Kind("gateway-rate-limited", ANSWER, "APIGW.0308 inside 429: the API gateway's limit"),
    Kind(
        "token-expired",
        "token-expired",
        "every token issued so far is void from this request on, which must come with one: APIGW.0307",
        strikes=BEARERS,
    ),
)

THROTTLED: Final = "The throttling threshold has been reached: policy user over ratelimit,limit:100,time:1 minute"
REFUSALS: Final[Mapping[str, Refusal]] = {
    "gateway-timeout": ApigwRefusal(504, "APIGW.0201", "Backend timeout."),
    "busy": Refusal(400, "PM.02175000", "系统繁忙,请稍后再试"),
    "rate-limited": Refusal(400, "PM.02153001", "访问频率过高,请稍后再试"),
    "gateway-rate-limited": ApigwRefusal(429, "APIGW.0308", THROTTLED),
}


def backend(refuse: Callable[[Refusal], Response], void_tokens: Callable[[], None]) -> Backend:
    """Describe ProjectMan to the menu of faults; `refuse` writes a refusal as the twin does."""
    return Backend(
        operations=FAMILY,
        name_field="module_name",
        refusal=Refusal,
        kinds=KINDS,
        answers={name: partial(_answer, refuse, refusal) for name, refusal in REFUSALS.items()},
        strokes={"token-expired": void_tokens},
    )


def _answer(refuse: Callable[[Refusal], Response], refusal: Refusal, _parameters: Mapping[str, Any]) -> Response:
    return refuse(refusal)
