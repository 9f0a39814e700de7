"""What a CMDB twin starts with: a seed (JSON) laid over the default one, key by key."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.twins.cmdb.versions import VERSIONS, Version

DIALECTS: Final = ("renamed", "raw")
ENVIRONMENT: Final = "env:"


def _idle_pool(set_id: int, modules: range) -> dict[str, Any]:
    """Return the set that CMDB lays into every business, with its three built-in modules."""
    names = ("空闲机", "故障机", "待回收")
    return {
        "bk_set_id": set_id,
        "bk_set_name": "空闲机池",
        "default": 1,
        "modules": [
            {"bk_module_id": number, "bk_module_name": name, "default": kind}
            for kind, (number, name) in enumerate(zip(modules, names, strict=True), start=1)
        ],
    }


DEFAULT: Final[dict[str, Any]] = {
    "version": "3.14.8",  # one of versions.VERSIONS
    "apigw_dialect": None,  # "renamed" | "raw"; None: what the version does
    "iam": True,  # False: no rights are checked, as in CMDB's own tests
    "apps": None,  # {"<code>": "<secret>" or "env:NAME"}; None: any pair that is not empty
    # {"<name>": {"denied": [biz…], "allowed": [biz…], "token": "…"}}; a name not listed may do everything
    "users": {"admin": {}, "tom": {}},
    "next_module_id": 37825,
    "businesses": [
        {
            "bk_biz_id": 1,
            "bk_biz_name": "demo",
            "sets": [
                _idle_pool(2, range(3, 6)),
                {"bk_set_id": 10, "bk_set_name": "web"},
                {
                    "bk_set_id": 11,
                    "bk_set_name": "db",
                    "modules": [{"bk_module_id": 31, "bk_module_name": "mysql", "hosts": 1}],
                },
                {
                    "bk_set_id": 12,
                    "bk_set_name": "templated",
                    "set_template_id": 1,
                    "modules": [{"bk_module_id": 32, "bk_module_name": "proxy", "set_template_id": 1}],
                },
            ],
        },
        {
            "bk_biz_id": 2,
            "bk_biz_name": "other",
            "sets": [_idle_pool(6, range(7, 10)), {"bk_set_id": 20, "bk_set_name": "app"}],
        },
    ],
    # bk_biz_id 0 is global; the one marked default is taken when a create names none
    "service_categories": [
        {"id": 2, "bk_biz_id": 0, "default": True},
        {"id": 3, "bk_biz_id": 0},
        {"id": 4, "bk_biz_id": 2},
    ],
    # "fixed": attributes the template holds, they cannot be changed on its modules
    "service_templates": [
        {"id": 100, "name": "st", "bk_biz_id": 1, "service_category_id": 2, "fixed": {"bk_bak_operator": "tom"}}
    ],
    # custom attributes of the module model: kind singlechar | longchar | int | bool | enum | objuser
    "attributes": [
        {"bk_property_id": "remark", "bk_property_type": "longchar", "bk_biz_id": 0, "editable": True},
        {
            "bk_property_id": "tier",
            "bk_property_type": "enum",
            "bk_biz_id": 1,
            "editable": False,
            "option": ["gold", "silver"],
        },
    ],
}


@dataclass(frozen=True)
class Seed:
    """A complete seed, checked, with its secrets taken from the environment."""

    version: Version
    renames_keys: bool
    iam: bool
    apps: Mapping[str, str] | None
    users: Mapping[str, Mapping[str, Any]]
    next_module_id: int
    businesses: list[dict[str, Any]]
    service_categories: list[dict[str, Any]]
    service_templates: list[dict[str, Any]]
    attributes: list[dict[str, Any]]


def load_seed(given: Mapping[str, object] | None) -> Seed:
    """Lay `given` over the default; raise ValueError at an unknown key or option, KeyError at an unset `env:` name."""
    given = given or {}
    if unknown := sorted(given.keys() - DEFAULT.keys()):
        raise ValueError(f"unknown keys in the seed: {', '.join(unknown)}")
    laid: dict[str, Any] = {**DEFAULT, **given}
    version, dialect = laid.pop("version"), laid.pop("apigw_dialect")
    if version not in VERSIONS or dialect not in (None, *DIALECTS):
        raise ValueError(f"version is one of {', '.join(VERSIONS)}, apigw_dialect one of {', '.join(DIALECTS)}")
    played = VERSIONS[version]
    laid["apps"] = laid["apps"] and {code: _secret(value) for code, value in laid["apps"].items()}
    laid["users"] = {
        name: {key: _secret(value) if key == "token" else value for key, value in user.items()}
        for name, user in laid["users"].items()
    }
    return Seed(version=played, renames_keys=dialect == "renamed" if dialect else played.renames_keys, **laid)


def _secret(value: str) -> str:
    """Return the value itself, or what the environment holds under the name in `env:NAME`."""
    return os.environ[value.removeprefix(ENVIRONMENT)] if value.startswith(ENVIRONMENT) else value
