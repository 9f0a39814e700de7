"""The seed: initial projects, members, modules, users and keys, and options where the documentation is silent.

A seed is a JSON object; each of its members replaces that of the default seed (`default_seed.py`) as a whole.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Final, TypeVar

from gateway.twins.projectman.default_seed import DEFAULT_SEED, default_access_keys

_Part = TypeVar("_Part")
_PARTS: Final = frozenset({"options", "domains", "access_keys", "iam_users", "projects"})


class SeedInvalidError(ValueError):
    """A seed that is not valid; the message names the part with the error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinOptions:
    """Limits, and the behaviour where the documentation is silent."""

    token_seconds: float = 86_400
    token_length: int = 3_000
    children: str = "nested"  # of a list: a tree, or all descendants of a top-level module in one list
    omitted_description: str = "kept"  # what an update without description does to it
    delete_with_children: str = "cascaded"
    total: str = "top"  # the modules that `total` of a list counts: those at the top level, or all
    max_depth: int = 3
    max_modules: int = 350
    first_module_id: int = 46_691

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise SeedInvalidError(
                    f"options.{name}: must be one of {', '.join(choices)}, not {getattr(self, name)!r}"
                )


_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "children": ("nested", "flat"),
    "omitted_description": ("kept", "cleared"),
    "delete_with_children": ("cascaded", "refused"),
    "total": ("top", "all"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of a project; the first four fields are those of a module's owner in the API."""

    user_id: str
    user_num_id: int
    user_name: str
    nick_name: str
    role_id: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class IamUser:
    """An IAM user; `projects` maps the names of IAM projects, which are regions, to their ids."""

    domain: str
    user_name: str
    password: str = field(repr=False)
    user_id: str
    user_num_id: int
    nick_name: str
    projects: Mapping[str, str]
    programmatic_access: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedAccessKey:
    """The secret key of an access key; with a `security_token` the key is a temporary one (STS)."""

    secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    user_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedModule:
    """An initial module; without an id it gets the next of the sequence."""

    module_name: str
    owner: str
    description: str | None = None
    module_id: int | None = None
    children: tuple["SeedModule", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedProject:
    """A CodeArts project, which is not an IAM project though both have ids of 32 characters."""

    project_id: str
    project_num_id: int
    project_name: str
    members: tuple[Member, ...]
    modules: tuple[SeedModule, ...] = ()
    description: str = ""
    project_type: str = "scrum"


@dataclass(frozen=True, slots=True)
class ProjectManSeed:
    """A complete seed."""

    options: TwinOptions
    domains: Mapping[str, str]
    access_keys: Mapping[str, SeedAccessKey]
    iam_users: tuple[IamUser, ...]
    projects: tuple[SeedProject, ...]


def load_seed(seed: Mapping[str, object] | None, environ: Mapping[str, str] = os.environ) -> ProjectManSeed:
    """Merge `seed` into the default and validate it; a value "env:NAME" is read from `environ`.

    Raises SeedInvalidError.
    """
    if unknown := set(seed or {}) - _PARTS:
        raise SeedInvalidError(f"unknown parts: {', '.join(sorted(unknown))}")
    parts: dict[str, Any] = {"access_keys": default_access_keys(environ), **DEFAULT_SEED, **(seed or {})}
    users = tuple(
        _build(IamUser, {**user, "password": _read_env(user.get("password", ""), environ)}, "iam_users")
        for user in parts["iam_users"]
    )
    if not users:
        raise SeedInvalidError("iam_users: must have at least one user, to whom the access keys belong")
    keys = _load_access_keys(parts["access_keys"], environ)
    if unknown_users := {key.user_name for key in keys.values()} - {None, *(user.user_name for user in users)}:
        raise SeedInvalidError(f"access_keys: no such IAM user: {', '.join(sorted(map(str, unknown_users)))}")
    return ProjectManSeed(
        options=_build(TwinOptions, parts["options"], "options"),
        domains=MappingProxyType(dict(parts["domains"])),
        access_keys=keys,
        iam_users=users,
        projects=tuple(_load_project(project) for project in parts["projects"]),
    )


def _load_access_keys(entries: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, SeedAccessKey]:
    """Load secrets by access key. Both may be `env:NAME`; an entry that is a plain string is the secret."""
    keys = {}
    for access_key, entry in entries.items():
        key_fields = {"secret": entry} if isinstance(entry, str) else entry
        resolved = {name: _read_env(value, environ) for name, value in key_fields.items()}
        keys[_read_env(access_key, environ)] = _build(SeedAccessKey, resolved, "access_keys")
    return keys


def _load_project(entry: Mapping[str, Any]) -> SeedProject:
    members = tuple(_build(Member, member, "members") for member in entry.get("members", ()))
    return _build(SeedProject, {**entry, "members": members, "modules": _load_modules(entry)}, "projects")


def _load_modules(parent: Mapping[str, Any], key: str = "modules") -> tuple[SeedModule, ...]:
    """Load the modules under `key` of a project or module, and their children."""
    entries: Iterable[Mapping[str, Any]] = parent.get(key, ())
    return tuple(
        _build(SeedModule, {**entry, "children": _load_modules(entry, "children")}, "modules") for entry in entries
    )


def _read_env(value: str, environ: Mapping[str, str]) -> str:
    """Return the environment variable that `env:NAME` names, and any other value as it is."""
    scheme, _, name = value.partition(":")
    if scheme != "env":
        return value
    if not environ.get(name):
        raise SeedInvalidError(f"the environment variable {name} is not set")
    return environ[name]


def _build(part_type: type[_Part], values: Mapping[str, Any], part_name: str) -> _Part:
    """Create a dataclass from a JSON object; raises SeedInvalidError for an unknown or missing member."""
    specs = fields(part_type)  # type: ignore[arg-type]  # every part is a dataclass
    known = {spec.name for spec in specs}
    required = {spec.name for spec in specs if spec.default is MISSING and spec.default_factory is MISSING}
    if errors := (set(values) - known) | (required - set(values)):
        raise SeedInvalidError(f"{part_name}: unknown or missing: {', '.join(sorted(errors))}")
    return part_type(**values)
