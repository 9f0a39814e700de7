"""The operations of IAM that a client of ProjectMan needs: tokens for a password, and the projects of a user."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Any, Final

from gateway.twins.projectman.errors import Body, IamError, token_expired, unauthenticated
from gateway.twins.projectman.seed import IamUser, ProjectManSeed

DECRYPTION_FAILED: Final = "decrypt token fail"
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
    def issued_count(self) -> int:
        """The number of tokens issued so far."""
        return len(self._tokens)

    def user_of(self, token: str) -> IamUser:
        """Return the user of a token; raises APIGW.0301 for an unknown token, APIGW.0307 for an expired one."""
        with self._lock:
            issued = self._tokens.get(token)
        if issued is None:
            raise unauthenticated(DECRYPTION_FAILED)
        if self._clock() >= issued.expires_at:
            raise token_expired()
        return issued.user

    def replace_passwords(self, passwords: Mapping[str, str]) -> None:
        """Change the passwords of users, by their names, until a reset."""
        users = (replace(user, password=passwords.get(user.user_name, user.password)) for user in self._seed.iam_users)
        self._seed = replace(self._seed, iam_users=tuple(users))

    def expire_all(self) -> None:
        """Expire every token issued so far."""
        with self._lock:
            self._tokens = {token: replace(issued, expires_at=_EXPIRED) for token, issued in self._tokens.items()}

    def issue(self, login: Mapping[str, Any], *, with_catalog: bool) -> tuple[str, Body]:
        """Return a token, which is sent in a header only, and the response body; raises IamError."""
        user = self._authenticate(login)
        project = self._find_scope_project(login, user)
        now = self._clock()
        issued = _IssuedToken(user, now + timedelta(seconds=self._seed.options.token_seconds))
        token = f"MII{secrets.token_hex(self._seed.options.token_length)}"[: self._seed.options.token_length]
        with self._lock:
            self._tokens[token] = issued
        body: Body = {
            "methods": ["password"],
            "issued_at": now.strftime(_TIME_FORMAT),
            "expires_at": issued.expires_at.strftime(_TIME_FORMAT),
            "user": {
                "domain": self._serialize_domain(user),
                "id": user.user_id,
                "name": user.user_name,
                "password_expires_at": "",
            },
            "roles": [{"id": "0", "name": "te_admin"}],
        }
        body |= {"project": project} if project else {"domain": self._serialize_domain(user)}
        return token, {"token": body | ({"catalog": []} if with_catalog else {})}

    def list_projects(self, user: IamUser, name: str | None) -> Body:
        """List the IAM projects of a user, or only the one of this name."""
        projects = [self._serialize_project(user, project) for project in user.projects if name in {None, project}]
        return {"projects": [{**project, "enabled": True} for project in projects], "links": {"next": None}}

    def _authenticate(self, login: Mapping[str, Any]) -> IamUser:
        if _get_nested(login, "auth", "identity", "methods") != ["password"]:
            raise IamError(400, INVALID_BODY)
        sent = _get_nested(login, "auth", "identity", "password", "user")
        credentials = (_get_nested(sent, "domain", "name"), _get_nested(sent, "name"), _get_nested(sent, "password"))
        for user in self._seed.iam_users:
            if (user.domain, user.user_name, user.password) == credentials:
                if not user.programmatic_access:
                    raise IamError(403, "You have no right to do this action.")
                return user
        raise IamError(401, "The username or password is wrong.")

    def _find_scope_project(self, login: Mapping[str, Any], user: IamUser) -> Body | None:
        """Return the IAM project that the scope names, even beside a domain, or None for a token of the account.

        Raises IamError.
        """
        scope = login["auth"].get("scope") or {}
        if not isinstance(scope, Mapping):
            raise IamError(400, INVALID_BODY)
        if "project" not in scope:
            return None
        project = scope["project"] if isinstance(scope["project"], Mapping) else {}
        for name, project_id in user.projects.items():
            # The scope names the project by name, by id or by both.
            if project and project.get("name", name) == name and project.get("id", project_id) == project_id:
                return self._serialize_project(user, name)
        raise IamError(404, "The project could not be found.")

    def _serialize_project(self, user: IamUser, name: str) -> Body:
        return {"id": user.projects[name], "name": name, "domain": self._serialize_domain(user)}

    def _serialize_domain(self, user: IamUser) -> Body:
        return {"id": self._seed.domains.get(user.domain, ""), "name": user.domain}


def _get_nested(value: Any, *path: str) -> Any:
    """Return the member at a path of keys; raises IamError 400 if it is missing."""
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            raise IamError(400, INVALID_BODY)
        value = value[key]
    return value
