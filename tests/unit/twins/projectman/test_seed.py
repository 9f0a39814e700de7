"""Seeds: members, values from the environment, and errors."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.twins.projectman import SeedInvalidError, create_twin
from gateway.twins.projectman.default_seed import DEFAULT_SEED
from gateway.twins.projectman.projects import Projects
from gateway.twins.projectman.seed import load_seed

USER: dict[str, Any] = json.loads(json.dumps(DEFAULT_SEED["iam_users"]))[0]


def secrets(seed: Mapping[str, object], environment: Mapping[str, str]) -> dict[str, str]:
    return {name: key.secret for name, key in load_seed(seed, environment).access_keys.items()}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {"AKTEST": "SKTEST"}),
        ({"HUAWEI_AK": "a", "HUAWEI_SK": "s"}, {"a": "s"}),
        ({"HUAWEI_AK": "a"}, {"AKTEST": "SKTEST"}),
    ],
)
def test_the_access_key_of_the_environment(environment: dict[str, str], expected: dict[str, str]) -> None:
    """The twin knows the access key of the gateway's environment; an id without a secret is ignored."""
    assert secrets({}, environment) == expected


def test_secrets_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret or password "env:NAME" is read from the environment; a variable must be set."""
    environment = {"SECRET": "s", "PASSWORD": "p"}
    seed = {"access_keys": {"AK": "env:SECRET", "BK": "x"}, "iam_users": [{**USER, "password": "env:PASSWORD"}]}
    assert secrets(seed, environment) == {"AK": "s", "BK": "x"}
    assert load_seed(seed, environment).iam_users[0].password == "p"
    with pytest.raises(SeedInvalidError, match="the environment variable PASSWORD is not set"):
        load_seed(seed, {})
    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setenv("PASSWORD", "p")
    assert create_twin(seed).name == "projectman"


def test_secrets_are_not_in_the_repr() -> None:
    """Secret key, security token and password."""
    text = repr(load_seed({"access_keys": {"AK": {"secret": "hush", "security_token": "sts"}}}, {}))
    assert not [word for word in ("hush", "'sts'", "demo-password") if word in text]


def test_the_default_seed_is_json() -> None:
    """A copy of the default through JSON is the same seed."""
    assert load_seed(json.loads(json.dumps(DEFAULT_SEED)), {}) == load_seed(None, {})


def test_ids_of_the_seed_are_not_reused() -> None:
    """Modules without an id get the next free one of the sequence, in any order of modules."""
    modules = [{"module_name": "a", "owner": "o"}, {"module_name": "b", "owner": "o", "module_id": 46692}]
    project = {"project_id": "p" * 32, "project_num_id": 1, "project_name": "p", "members": [], "modules": modules}
    projects = Projects(load_seed({"projects": [project]}, {}))
    assert [*projects.get("p" * 32).modules, projects.next_id()] == [46691, 46692, 46693]


@pytest.mark.parametrize(
    ("seed", "text"),
    [
        ({"project": []}, "unknown parts: project"),
        ({"options": {"children": "upside-down"}}, "options.children: must be one of nested, flat"),
        ({"options": {"colour": "red"}}, "options: unknown or missing: colour"),
        ({"iam_users": []}, "iam_users: must have at least one"),
        ({"iam_users": [{"domain": "d"}]}, "iam_users: unknown or missing: nick_name, projects"),
        ({"projects": [{"project_id": "p"}]}, "projects: unknown or missing: project_name, project_num_id"),
        ({"access_keys": {"AK": {"secret": "s", "user_name": "unknown"}}}, "access_keys: no such IAM user: unknown"),
    ],
)
def test_an_invalid_seed(seed: Mapping[str, object], text: str) -> None:
    """The error names the part of the seed."""
    with pytest.raises(SeedInvalidError, match=text):
        load_seed(seed, {})


def test_an_access_key_of_another_user() -> None:
    """A key names its IAM user; the default is the first user."""
    second = {**USER, "user_name": "second"}
    seed = load_seed({"iam_users": [USER, second], "access_keys": {"AK": {"secret": "s", "user_name": "second"}}}, {})
    assert seed.access_keys["AK"].user_name == "second"
