"""The seed of a CMDB twin: the release it simulates and its initial data; source of the versions: facts, section 0."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Any, Final

DIALECTS: Final = ("renamed", "raw")
ENV_PREFIX: Final = "env:"
LOCAL_ZONE: Final = timezone(timedelta(hours=8))


@dataclass(frozen=True)
class Version:
    """The differences between releases of CMDB."""

    wraps_validation: bool = False  # 1199011 around the inner message, since 3.14.1
    duplicate: int = 1199014  # the code for a name in use
    zone: tzinfo = LOCAL_ZONE  # of the times in responses
    renames_keys: bool = True  # code/message instead of bk_error_* behind the API gateway, since 3.12.4
    request_id_header: str = "Cc_Request_Id"  # the response header with CMDB's request id
    forbids_operators: bool = False  # $where and similar, since 3.14.8
    missing_set: int = 1199011  # the code for an unknown set
    name_max: int = 256  # of characters: MainlineNameFieldMaxLength in src/common/definitions.go
    # The other answers of the build of 3.9 that the facts observed (section 9):
    relays_unknown_paths: bool = False  # the API gateway passes them on to CMDB
    refuses_with_500: bool = False  # HTTP 500 for an unknown path and a missing user
    accepts_missing_name: bool = False  # a create without a name is a success without data
    keeps_built_in_names: bool = False  # a new name for a built-in module is ignored
    names_duplicate_fields: bool = False  # their names and not their ids, if CMDB has trimmed the name


VERSIONS: Final[dict[str, Version]] = {
    "3.9": Version(
        duplicate=1101099,
        renames_keys=False,
        missing_set=1199019,
        name_max=32,
        relays_unknown_paths=True,
        refuses_with_500=True,
        accepts_missing_name=True,
        keeps_built_in_names=True,
        names_duplicate_fields=True,
    ),
    "3.13": Version(),
    "3.14.7": Version(wraps_validation=True, request_id_header="X-Request-Id"),
    "3.14.8": Version(wraps_validation=True, zone=UTC, request_id_header="X-Request-Id", forbids_operators=True),
}
VERSIONS["3.14"] = VERSIONS["3.14.8"]


def _idle_pool(set_id: int, module_ids: range) -> dict[str, Any]:
    """Return the built-in set of a business, with its three built-in modules."""
    names = ("空闲机", "故障机", "待回收")
    return {
        "bk_set_id": set_id,
        "bk_set_name": "空闲机池",
        "default": 1,
        "modules": [
            {"bk_module_id": module_id, "bk_module_name": name, "default": default}
            for default, (module_id, name) in enumerate(zip(module_ids, names, strict=True), start=1)
        ],
    }


DEFAULT: Final[dict[str, Any]] = {
    "version": "3.14.8",  # one of VERSIONS
    "apigw_dialect": None,  # "renamed" | "raw"; None: by version
    "iam": True,  # False: permissions are not checked, as in CMDB's own tests
    "apps": None,  # {"<code>": "<secret>" or "env:NAME", or a list of secrets}; None: any code and secret
    # {"<name>": {"denied": [biz…], "allowed": [biz…], "token": "…"}}; other users have all permissions
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
        {
            "bk_biz_id": 3,
            "bk_biz_name": "Demo (staging)",
            "sets": [
                _idle_pool(13, range(14, 17)),
                {"bk_set_id": 40, "bk_set_name": "Web.blue"},
                {"bk_set_id": 41, "bk_set_name": "Web.green"},
                {"bk_set_id": 42, "bk_set_name": "网关", "set_template_id": 1},
            ],
        },
        {
            "bk_biz_id": 4,
            "bk_biz_name": "old-archived",
            "bk_data_status": "disabled",
            "sets": [_idle_pool(17, range(18, 21))],
        },
    ],
    # bk_biz_id 0 is global; the default applies to a create without a category
    "service_categories": [
        {"id": 2, "bk_biz_id": 0, "default": True},
        {"id": 3, "bk_biz_id": 0},
        {"id": 4, "bk_biz_id": 2},
    ],
    # "fixed": attributes that cannot be changed on modules of the template
    "service_templates": [
        {"id": 100, "name": "st", "bk_biz_id": 1, "service_category_id": 2, "fixed": {"bk_bak_operator": "tom"}}
    ],
    # custom attributes of the module model: kind singlechar | longchar | int | bool | enum | objuser; "unique": true
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
class CmdbSeed:
    """A complete seed, validated, with its secrets read from the environment."""

    version: Version
    renames_keys: bool
    iam: bool
    apps: Mapping[str, str | list[str]] | None
    users: Mapping[str, Mapping[str, Any]]
    next_module_id: int
    businesses: list[dict[str, Any]]
    service_categories: list[dict[str, Any]]
    service_templates: list[dict[str, Any]]
    attributes: list[dict[str, Any]]

    def is_allowed(self, user: str, biz: int) -> bool:
        """Return whether a user has access to a business: it is not in `denied` and, if there is `allowed`, in that."""
        permissions = self.users.get(user, {})
        return not self.iam or (biz not in permissions.get("denied", ()) and biz in permissions.get("allowed", (biz,)))


def load_seed(seed: Mapping[str, object]) -> CmdbSeed:
    """Return the seed: DEFAULT with the given members, `env:` values resolved.

    Raises ValueError for an unknown key, version or dialect, KeyError for an `env:` variable that is not set.
    """
    if unknown := sorted(seed.keys() - DEFAULT.keys()):
        raise ValueError(f"unknown keys in the seed: {', '.join(unknown)}")
    merged: dict[str, Any] = {**DEFAULT, **seed}
    name, dialect = merged.pop("version"), merged.pop("apigw_dialect")
    if name not in VERSIONS or dialect not in (None, *DIALECTS):
        raise ValueError(f"version must be one of {', '.join(VERSIONS)}, apigw_dialect one of {', '.join(DIALECTS)}")
    version = VERSIONS[name]
    if merged["apps"] is not None:
        merged["apps"] = {
            code: _read_env(secret) if isinstance(secret, str) else secret for code, secret in merged["apps"].items()
        }
    merged["users"] = {
        user: {key: _read_env(value) if key == "token" else value for key, value in properties.items()}
        for user, properties in merged["users"].items()
    }
    renames_keys = version.renames_keys if dialect is None else dialect == "renamed"
    return CmdbSeed(version=version, renames_keys=renames_keys, **merged)


def _read_env(value: str) -> str:
    """Return the environment variable that `env:NAME` names, and any other value as it is; raises KeyError."""
    return os.environ[value.removeprefix(ENV_PREFIX)] if value.startswith(ENV_PREFIX) else value
