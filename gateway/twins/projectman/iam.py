"""The operations of IAM that a client of ProjectMan needs: tokens for a password, and the projects of a user."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Any, Final

from gateway.twins.projectman.errors import Body, IamError, token_expired, unauthenticated
from gateway.twins.projectman.seed import IamUser, ProjectManSeed

UNREADABLE: Final = "decrypt token fail"
INVALID_BODY: Final = "The request body is invalid."
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_EXPIRED: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _IssuedToken:
    user: IamUser
    expires_at: datetime


class TokenService:
    """Issues and verifies tokens; a new token leaves older ones valid."""

    def __init__(self, seed: ProjectManSeed, clock: Callable[[], datetime], lock: RLock) -> None:
        self._seed = seed
        self._clock = clock
        self._lock = lock
        self._tokens: dict[str, _IssuedToken] = {}

    @property
    def issued(self) -> int:
        """The number of tokens issued so far."""
        return len(self._tokens)

    def user_of(self, token: str) -> IamUser:
        """Return the user of a token; raises APIGW.0301 for an unknown token, APIGW.0307 for an expired one."""
        with self._lock:
            issued = self._tokens.get(token)
        if issued is None:
            raise unauthenticated(UNREADABLE)
        if self._clock() >= issued.expires_at:
            raise token_expired()
        return issued.user

    def expire_all(self) -> None:
        """Expire every token issued so far."""
        with self._lock:
            self._tokens = {token: replace(issued, expires_at=_EXPIRED) for token, issued in self._tokens.items()}

    def issue(self, request: Mapping[str, Any], *, catalog: bool) -> tuple[str, Body]:
        """Return a token, which is sent in a header only, and the response body; raises IamError."""
        user = self._authenticate(request)
        project = self._project_scope(request, user)
        now = self._clock()
        issued = _IssuedToken(user, now + timedelta(seconds=self._seed.options.token_seconds))
        token = "MII" + secrets.token_hex(self._seed.options.token_length)[: self._seed.options.token_length - 3]
        with self._lock:
            self._tokens[token] = issued
        body: Body = {
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
        body |= {"project": project} if project else {"domain": self._domain(user)}
        return token, {"token": body | ({"catalog": []} if catalog else {})}

    def projects(self, user: IamUser, name: str | None) -> Body:
        """List the IAM projects of a user, or only the one of this name."""
        projects = [self._project(user, project) for project in user.projects if name in {None, project}]
        return {"projects": [{**project, "enabled": True} for project in projects], "links": {"next": None}}

    def _authenticate(self, request: Mapping[str, Any]) -> IamUser:
        if _get_path(request, "auth", "identity", "methods") != ["password"]:
            raise IamError(400, INVALID_BODY)
        login = _get_path(request, "auth", "identity", "password", "user")
        credentials = (_get_path(login, "domain", "name"), _get_path(login, "name"), _get_path(login, "password"))
        for user in self._seed.iam_users:
            if (user.domain, user.user_name, user.password) == credentials:
                if not user.programmatic_access:
                    raise IamError(403, "You have no right to do this action.")
                return user
        raise IamError(401, "The username or password is wrong.")

    def _project_scope(self, request: Mapping[str, Any], user: IamUser) -> Body | None:
        """Return the IAM project of the scope, or None for a token of the account; a project precedes a domain."""
        scope = request["auth"].get("scope") or {}
        if not isinstance(scope, Mapping):
            raise IamError(400, INVALID_BODY)
        if "project" not in scope:
            return None
        project = scope["project"] if isinstance(scope["project"], Mapping) else {}
        for name, project_id in user.projects.items():
            if project and project.get("name", name) == name and project.get("id", project_id) == project_id:
                return self._project(user, name)
        raise IamError(404, "The project could not be found.")

    def _project(self, user: IamUser, name: str) -> Body:
        return {"id": user.projects[name], "name": name, "domain": self._domain(user)}

    def _domain(self, user: IamUser) -> Body:
        return {"id": self._seed.domains.get(user.domain, ""), "name": user.domain}


def _get_path(value: Any, *path: str) -> Any:
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            raise IamError(400, INVALID_BODY)
        value = value[key]
    return value
