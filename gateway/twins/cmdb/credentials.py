"""Authentication of applications and users; source: facts, section 1, Auth."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from gateway.twins.cmdb.seed import CmdbSeed


class AuthFailure(Enum):
    """Why credentials were rejected; the ESB and the API gateway each have a text and a code for it."""

    HEADER_INVALID = auto()
    APP_MISSING = auto()
    SECRET_MISSING = auto()
    APP_UNKNOWN = auto()
    SECRET_WRONG = auto()
    TOKEN_WRONG = auto()


@dataclass(frozen=True)
class Identity:
    """The authenticated user, empty if the credentials name none; or the failure."""

    user: str = ""
    failure: AuthFailure | None = None


def parse_header(header: str) -> dict[str, Any] | None:
    """Return the credentials in `X-Bkapi-Authorization`, or None if it is not a JSON object."""
    try:
        credentials = json.loads(header)
    except ValueError:
        return None
    return credentials if isinstance(credentials, dict) else None


def authenticate(seed: CmdbSeed, credentials: Mapping[str, Any] | None) -> Identity:
    """Check the application and return its user; an access_token proves both."""
    if credentials is None:
        return Identity(failure=AuthFailure.HEADER_INVALID)
    if credentials.get("access_token"):
        return _identify_by_token(seed, credentials["access_token"])
    code, secret = credentials.get("bk_app_code"), credentials.get("bk_app_secret")
    checks = (
        (not code, AuthFailure.APP_MISSING),
        (not secret, AuthFailure.SECRET_MISSING),
        (seed.apps is not None and code not in seed.apps, AuthFailure.APP_UNKNOWN),
        (seed.apps is not None and secret not in _secrets_of(seed, str(code)), AuthFailure.SECRET_WRONG),
    )
    for failed, failure in checks:
        if failed:
            return Identity(failure=failure)
    if credentials.get("bk_token"):
        return _identify_by_token(seed, credentials["bk_token"])
    return Identity(str(credentials.get("bk_username") or ""))


def _secrets_of(seed: CmdbSeed, code: str) -> Sequence[str]:
    """Return the secrets of an application: one, or two while it is changed (bk-auth: MaxSecretsPreApp = 2)."""
    secrets = (seed.apps or {}).get(code, ())
    return [secrets] if isinstance(secrets, str) else secrets


def _identify_by_token(seed: CmdbSeed, token: object) -> Identity:
    """Return the user of a token; if the seed has no tokens, any token is that of the first user."""
    users_by_token = {user["token"]: name for name, user in seed.users.items() if "token" in user}
    if not users_by_token:
        return Identity(next(iter(seed.users), "admin"))
    if not isinstance(token, str) or token not in users_by_token:
        return Identity(failure=AuthFailure.TOKEN_WRONG)
    return Identity(users_by_token[token])
