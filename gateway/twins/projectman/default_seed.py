"""The default seed: the example of the documentation, a second project, and one of another type."""

from collections.abc import Mapping
from typing import Final

DEMO_PROJECT: Final = "0792b7d26cb74bd799cbae80063dc74a"
OTHER_PROJECT: Final = "5b1e4c0a97d24f3c8e6a2d7f10b93c58"
KANBAN_PROJECT: Final = "c3a9f6e1b2d84705a6e8f1c2d3b4a596"
DEMO_USER: Final = "09d75cde5180d4481f91c018e89cb8e2"

_DEMO_MEMBER: Final = {
    "user_id": DEMO_USER,
    "user_num_id": 4091,
    "user_name": "demo_user_name_06",
    "nick_name": "模块demo",
    "role_id": -1,
}

# Module 1 is the parent in the documented example: its request gets exactly its response (module 46691).
DEFAULT_SEED: Final[Mapping[str, object]] = {
    "options": {},
    "domains": {"demo-account": "0a0f8c1d2e3b4a5968778695a4b3c2d1"},
    "iam_users": [
        {
            **{key: value for key, value in _DEMO_MEMBER.items() if key != "role_id"},
            "domain": "demo-account",
            "password": "demo-password",
            "projects": {"cn-north-4": "0000000000000000000000000000000a"},
        },
    ],
    "projects": [
        {
            "project_id": DEMO_PROJECT,
            "project_num_id": 3180021,
            "project_name": "demo",
            "members": [
                _DEMO_MEMBER,
                {
                    "user_id": "1c6e2f0b9a8d4753b2e1f0c9d8a7b6e5",
                    "user_num_id": 4092,
                    "user_name": "demo_user_name_07",
                    "nick_name": "second",
                },
            ],
            "modules": [
                {
                    "module_id": 1,
                    "module_name": "platform",
                    "owner": DEMO_USER,
                    "description": "the top of the demo tree",
                    "children": [
                        {
                            "module_id": 2,
                            "module_name": "platform-api",
                            "owner": DEMO_USER,
                            "children": [{"module_id": 3, "module_name": "platform-api-v4", "owner": DEMO_USER}],
                        },
                    ],
                },
            ],
        },
        {
            "project_id": OTHER_PROJECT,
            "project_num_id": 3180022,
            "project_name": "other",
            "members": [
                _DEMO_MEMBER,
                {
                    "user_id": "2d7f3a1c0b9e5864c3f2a1d0e9b8c7f6",
                    "user_num_id": 4093,
                    "user_name": "demo_user_name_08",
                    "nick_name": "third",
                },
            ],
            "modules": [],
        },
        {
            "project_id": KANBAN_PROJECT,
            "project_num_id": 3180023,
            "project_name": "Demo 看板",
            "project_type": "xboard",
            "members": [_DEMO_MEMBER],
        },
    ],
}


def default_access_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the access key of the environment, if its id and secret are both set, or else AKTEST."""
    if environ.get("HUAWEI_AK") and environ.get("HUAWEI_SK"):
        return {"env:HUAWEI_AK": "env:HUAWEI_SK"}
    return {"AKTEST": "SKTEST"}
