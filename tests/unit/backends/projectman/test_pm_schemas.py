"""Which values of other types than documented the schema loads, and which make a document invalid."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.backends.projectman.schemas import ModuleSource, load_module
from gateway.domain.module import Module, Owner
from tests.unit.backends.connections import OWNER, PM_NODE, PROJECT


def load(**changes: Any) -> Module:
    return load_module(ModuleSource("pm", PROJECT), {**PM_NODE, **changes})


@pytest.mark.parametrize("owner", [None, {}, {"user_id": None}, {"user_id": ""}, {"user_name": "nobody"}])
def test_an_owner_without_id_is_unavailable(owner: Any) -> None:
    """documented: projectman.md §6, 14: owner:null is tolerated."""
    module = load(owner=owner)
    assert module.owners == ()
    assert "owners" in module.unavailable


def test_the_names_of_an_owner_are_optional() -> None:
    """An id without names is an owner."""
    assert load(owner={"user_id": OWNER, "nick_name": None}).owners == (Owner(OWNER),)
