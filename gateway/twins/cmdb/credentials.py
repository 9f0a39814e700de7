"""Whose application and which user a request comes from; source: facts, section 1, Auth."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from gateway.twins.cmdb.seed import Seed


class Flaw(Enum):
    """What is wrong with credentials; each way in has its own words and code for it."""

    HEADER = auto()
    APP_MISSING = auto()
    SECRET_MISSING = auto()
    APP_UNKNOWN = auto()
    SECRET_WRONG = auto()
    TOKEN_WRONG = auto()


@dataclass(frozen=True)
class Identity:
    """Who asks: `user` is empty where no user was named at all; `flaw` tells why nobody was accepted."""

    user: str = ""
    flaw: Flaw | None = None


def read_header(header: str) -> dict[str, Any] | None:
    """Return the credentials in `X-Bkapi-Authorization`, or None where it is no JSON object."""
    try:
        given = json.loads(header)
    except ValueError:
        return None
    return given if isinstance(given, dict) else None


def identify(seed: Seed, given: Mapping[str, Any] | None) -> Identity:
    """Check the application, then find the user: an access_token stands for both."""
    if given is None:
        return Identity(flaw=Flaw.HEADER)
    if given.get("access_token"):
        return _user_of_token(seed, given["access_token"])
    code, secret = given.get("bk_app_code"), given.get("bk_app_secret")
    checks = (
        (not code, Flaw.APP_MISSING),
        (not secret, Flaw.SECRET_MISSING),
        (seed.apps is not None and code not in seed.apps, Flaw.APP_UNKNOWN),
        (seed.apps is not None and seed.apps.get(str(code)) != secret, Flaw.SECRET_WRONG),
    )
    for failed, flaw in checks:
        if failed:
            return Identity(flaw=flaw)
    if given.get("bk_token"):
        return _user_of_token(seed, given["bk_token"])
    return Identity(str(given.get("bk_username") or ""))


def _user_of_token(seed: Seed, token: object) -> Identity:
    """Return the user whose token it is; where the seed knows no tokens, any is the first user's."""
    owners = {user["token"]: name for name, user in seed.users.items() if "token" in user}
    if not owners:
        return Identity(next(iter(seed.users), "admin"))
    if not isinstance(token, str) or token not in owners:
        return Identity(flaw=Flaw.TOKEN_WRONG)
    return Identity(owners[token])
