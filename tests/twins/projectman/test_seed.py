"""Seeds: what may be given, what is looked up in the environment, and what is refused."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.twins.projectman import SeedInvalidError, create_twin
from gateway.twins.projectman.default_seed import DEFAULT_SEED
from gateway.twins.projectman.projects import Projects
from gateway.twins.projectman.seed import read_seed

USER: dict[str, Any] = json.loads(json.dumps(DEFAULT_SEED["iam_users"]))[0]


def keys(seed: Mapping[str, object], environment: Mapping[str, str]) -> dict[str, str]:
    return {name: key.secret for name, key in read_seed(seed, environment).access_keys.items()}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {"AKTEST": "SKTEST"}),
        ({"HUAWEI_AK": "a", "HUAWEI_SK": "s"}, {"a": "s"}),
        ({"HUAWEI_AK": "a"}, {"AKTEST": "SKTEST"}),
    ],
)
def test_the_environment_may_bring_the_key_pair(environment: dict[str, str], expected: dict[str, str]) -> None:
    """The pair the gateway is given is the pair the twin knows; half a pair is none."""
    assert keys({}, environment) == expected


def test_secrets_may_be_named_instead_of_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheme "env:" looks a key, a secret or a password up; a name that is not there stops the start."""
    environment = {"SECRET": "s", "PASSWORD": "p"}
    seed = {"access_keys": {"AK": "env:SECRET", "BK": "x"}, "iam_users": [{**USER, "password": "env:PASSWORD"}]}
    assert keys(seed, environment) == {"AK": "s", "BK": "x"}
    assert read_seed(seed, environment).iam_users[0].password == "p"
    with pytest.raises(SeedInvalidError, match="the environment has no PASSWORD"):
        read_seed(seed, {})
    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setenv("PASSWORD", "p")
    assert create_twin(seed).name == "projectman"


def test_secrets_stay_out_of_what_is_printed() -> None:
    """A seed that ends up in a message tells neither secret nor password."""
    printed = repr(read_seed({"access_keys": {"AK": {"secret": "hush", "security_token": "sts"}}}, {}))
    assert not [word for word in ("hush", "'sts'", "demo-password") if word in printed]


def test_a_seed_survives_being_a_file() -> None:
    """The default is plain JSON, and as such a seed again."""
    assert read_seed(json.loads(json.dumps(DEFAULT_SEED)), {}) == read_seed(None, {})


def test_ids_that_the_seed_gives_are_not_given_twice() -> None:
    """Modules without an id take the next of the sequence that is free, in whatever order they stand."""
    modules = [{"module_name": "a", "owner": "o"}, {"module_name": "b", "owner": "o", "module_id": 46692}]
    project = {"project_id": "p" * 32, "project_num_id": 1, "project_name": "p", "members": [], "modules": modules}
    projects = Projects(read_seed({"projects": [project]}, {}))
    assert [*projects.get("p" * 32).modules, projects.next_id()] == [46691, 46692, 46693]


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        ({"project": []}, "unknown parts: project"),
        ({"options": {"children": "upside-down"}}, "options.children: one of nested, flat"),
        ({"options": {"colour": "red"}}, "options: unknown or missing: colour"),
        ({"iam_users": []}, "iam_users: at least one"),
        ({"iam_users": [{"domain": "d"}]}, "iam_users: unknown or missing: nick_name, projects"),
        ({"projects": [{"project_id": "p"}]}, "projects: unknown or missing: project_name, project_num_id"),
        ({"access_keys": {"AK": {"secret": "s", "user_name": "nobody"}}}, "access_keys: no such IAM user: nobody"),
    ],
)
def test_a_wrong_seed_is_refused_with_the_place(seed: Mapping[str, object], words: str) -> None:
    """A twin does not start on a guess."""
    with pytest.raises(SeedInvalidError, match=words):
        read_seed(seed, {})


def test_a_key_may_belong_to_another_user() -> None:
    """A key names its IAM user; without a name it is the first one's."""
    second = {**USER, "user_name": "second"}
    seed = read_seed({"iam_users": [USER, second], "access_keys": {"AK": {"secret": "s", "user_name": "second"}}}, {})
    assert seed.access_keys["AK"].user_name == "second"
