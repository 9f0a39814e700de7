"""The part of IAM that a client of ProjectMan meets: a password for a token, and the projects a user may act in."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Any, Final

from .refusals import Body, IamRefusal, token_outdated, unauthenticated
from .seed import IamUser, Seed

UNREADABLE: Final = "decrypt token fail"
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Issued:
    user: IamUser
    expires_at: datetime


class TokenOffice:
    """Issues tokens and remembers them; a new token leaves the old ones valid."""

    def __init__(self, seed: Seed, clock: Callable[[], datetime], lock: RLock) -> None:
        self._seed = seed
        self._clock = clock
        self._lock = lock
        self._issued: dict[str, _Issued] = {}

    @property
    def issued(self) -> int:
        """How many tokens were handed out."""
        return len(self._issued)

    def holder(self, token: str) -> IamUser:
        """Return whom a token belongs to; raises APIGW.0301 for an unknown one, APIGW.0307 for an expired one."""
        with self._lock:
            issued = self._issued.get(token)
        if issued is None:
            raise unauthenticated(UNREADABLE)
        if self._clock() >= issued.expires_at:
            raise token_outdated()
        return issued.user

    def void(self) -> None:
        """Let every token issued so far be outdated."""
        with self._lock:
            self._issued = {token: replace(issued, expires_at=_LONG_AGO) for token, issued in self._issued.items()}

    def issue(self, request: Mapping[str, Any], *, catalog: bool) -> tuple[str, Body]:
        """Return a token, which travels in a header only, and the body that tells of it; raises IamRefusal."""
        user = self._log_in(request)
        project = self._scope(request, user)
        now = self._clock()
        issued = _Issued(user, now + timedelta(seconds=self._seed.options.token_seconds))
        token = "MII" + secrets.token_hex(self._seed.options.token_length)[: self._seed.options.token_length - 3]
        with self._lock:
            self._issued[token] = issued
        told: Body = {
            "methods": ["password"],
            "issued_at": now.strftime(_TIME_FORMAT),
            "expires_at": issued.expires_at.strftime(_TIME_FORMAT),
            "user": {
                "domain": self._domain(user),
                "id": user.user_id,
                "name": user.user_name,
                "password_expires_at": "",
            },
            "roles": [{"id": "0", "name": "te_admin"}],
        }
        told |= {"project": project} if project else {"domain": self._domain(user)}
        return token, {"token": told | ({"catalog": []} if catalog else {})}

    def projects(self, user: IamUser, name: str | None) -> Body:
        """List the IAM projects of a user, of one name where that is given."""
        found = [self._project(user, each) for each in user.projects if name in {None, each}]
        return {"projects": [{**project, "enabled": True} for project in found], "links": {"next": None}}

    def _log_in(self, request: Mapping[str, Any]) -> IamUser:
        if _dig(request, "auth", "identity", "methods") != ["password"]:
            raise IamRefusal(400, "The request body is invalid.")
        given = _dig(request, "auth", "identity", "password", "user")
        domain, name, password = _dig(given, "domain", "name"), _dig(given, "name"), _dig(given, "password")
        for user in self._seed.iam_users:
            if (user.domain, user.user_name, user.password) == (domain, name, password):
                if not user.programmatic_access:
                    raise IamRefusal(403, "You have no right to do this action.")
                return user
        raise IamRefusal(401, "The username or password is wrong.")

    def _scope(self, request: Mapping[str, Any], user: IamUser) -> Body | None:
        """Return the IAM project asked for, or None for a token of the whole account; a project wins over a domain."""
        scope = request["auth"].get("scope") or {}
        if not isinstance(scope, Mapping):
            raise IamRefusal(400, "The request body is invalid.")
        if "project" not in scope:
            return None
        asked = scope["project"] if isinstance(scope["project"], Mapping) else {}
        for name, native_id in user.projects.items():
            if asked and asked.get("name", name) == name and asked.get("id", native_id) == native_id:
                return self._project(user, name)
        raise IamRefusal(404, "The project could not be found.")

    def _project(self, user: IamUser, name: str) -> Body:
        return {"id": user.projects[name], "name": name, "domain": self._domain(user)}

    def _domain(self, user: IamUser) -> Body:
        return {"id": self._seed.domains.get(user.domain, ""), "name": user.domain}


def _dig(value: Any, *path: str) -> Any:
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            raise IamRefusal(400, "The request body is invalid.")
        value = value[key]
    return value
