"""Reads a seed: which projects, members, modules, users and keys a twin starts with, and how it settles open questions.

A seed is JSON (see `default_seed.py` for one); each of its top-level parts replaces the default's part as a whole.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Final, TypeVar

from .default_seed import DEFAULT_SEED, default_access_keys

_Part = TypeVar("_Part")
_PARTS: Final = frozenset({"options", "domains", "access_keys", "iam_users", "projects"})


class SeedInvalidError(ValueError):
    """The seed cannot be laid; the message names the part that is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the twin behaves where the documentation is silent, and the limits it keeps."""

    token_seconds: float = 86_400
    token_length: int = 3_000
    children: str = "nested"
    omitted_description: str = "kept"
    delete_with_children: str = "cascaded"
    total: str = "top"
    max_depth: int = 3
    max_modules: int = 350
    first_module_id: int = 46_691

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise SeedInvalidError(f"options.{name}: one of {', '.join(allowed)}, not {getattr(self, name)!r}")


_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "children": ("nested", "flat"),
    "omitted_description": ("kept", "cleared"),
    "delete_with_children": ("cascaded", "refused"),
    "total": ("top", "all"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A person in a project; the first four fields are what the API calls a module's owner."""

    user_id: str
    user_num_id: int
    user_name: str
    nick_name: str
    role_id: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class IamUser:
    """Somebody who can log in; `projects` maps the region-named IAM projects to their ids."""

    domain: str
    user_name: str
    password: str = field(repr=False)
    user_id: str
    user_num_id: int
    nick_name: str
    projects: Mapping[str, str]
    programmatic_access: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """The secret half of a key pair; with a `security_token` the pair is a temporary one (STS)."""

    secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    user_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedModule:
    """A module that is there from the start; without an id it takes the next of the sequence."""

    module_name: str
    owner: str
    description: str | None = None
    module_id: int | None = None
    children: tuple["SeedModule", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedProject:
    """A CodeArts project (not an IAM project, though both have 32-character ids)."""

    project_id: str
    project_num_id: int
    project_name: str
    members: tuple[Member, ...]
    modules: tuple[SeedModule, ...] = ()
    description: str = ""
    project_type: str = "scrum"


@dataclass(frozen=True, slots=True)
class Seed:
    """Everything a twin starts with."""

    options: Options
    domains: Mapping[str, str]
    access_keys: Mapping[str, AccessKey]
    iam_users: tuple[IamUser, ...]
    projects: tuple[SeedProject, ...]


def read_seed(given: Mapping[str, object] | None, environment: Mapping[str, str] = os.environ) -> Seed:
    """Lay `given` over the default part by part, and check it; "env:NAME" is looked up in `environment`."""
    if unknown := set(given or {}) - _PARTS:
        raise SeedInvalidError(f"unknown parts: {', '.join(sorted(unknown))}")
    parts: dict[str, Any] = {"access_keys": default_access_keys(environment), **DEFAULT_SEED, **(given or {})}
    users = tuple(
        _build(IamUser, {**user, "password": _resolve(user.get("password", ""), environment)}, "iam_users")
        for user in parts["iam_users"]
    )
    if not users:
        raise SeedInvalidError("iam_users: at least one, whom the access keys belong to")
    keys = _read_keys(parts["access_keys"], environment)
    if strangers := {key.user_name for key in keys.values()} - {None, *(user.user_name for user in users)}:
        raise SeedInvalidError(f"access_keys: no such IAM user: {', '.join(sorted(map(str, strangers)))}")
    return Seed(
        options=_build(Options, parts["options"], "options"),
        domains=MappingProxyType(dict(parts["domains"])),
        access_keys=keys,
        iam_users=users,
        projects=tuple(_read_project(project) for project in parts["projects"]),
    )


def _read_keys(given: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, AccessKey]:
    keys = {}
    for name, entry in given.items():
        fields_given = {"secret": entry} if isinstance(entry, str) else entry
        resolved = {key: _resolve(value, environment) for key, value in fields_given.items()}
        keys[_resolve(name, environment)] = _build(AccessKey, resolved, "access_keys")
    return keys


def _read_project(given: Mapping[str, Any]) -> SeedProject:
    members = tuple(_build(Member, member, "members") for member in given.get("members", ()))
    return _build(SeedProject, {**given, "members": members, "modules": _read_modules(given)}, "projects")


def _read_modules(given: Mapping[str, Any], key: str = "modules") -> tuple[SeedModule, ...]:
    entries: Iterable[Mapping[str, Any]] = given.get(key, ())
    return tuple(
        _build(SeedModule, {**entry, "children": _read_modules(entry, "children")}, "modules") for entry in entries
    )


def _resolve(value: str, environment: Mapping[str, str]) -> str:
    scheme, _, name = value.partition(":")
    if scheme != "env":
        return value
    if not environment.get(name):
        raise SeedInvalidError(f"the environment has no {name}")
    return environment[name]


def _build(kind: type[_Part], given: Mapping[str, Any], where: str) -> _Part:
    known = fields(kind)  # type: ignore[arg-type]  # every kind here is a dataclass
    names = {each.name for each in known}
    needed = {each.name for each in known if each.default is MISSING and each.default_factory is MISSING}
    if wrong := (set(given) - names) | (needed - set(given)):
        raise SeedInvalidError(f"{where}: unknown or missing: {', '.join(sorted(wrong))}")
    return kind(**given)
