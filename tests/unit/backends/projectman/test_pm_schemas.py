"""Which values of other types than documented the schema loads, and which make a document invalid."""

from __future__ import annotations

from typing import Any, Final

import pytest
from marshmallow import ValidationError

from gateway.backends.projectman.schemas import ModuleSource, load_module
from gateway.domain.module import Module, Owner
from tests.unit.backends.connections import OWNER, PM_NODE, PROJECT
from tests.unit.backends.projectman.tree_strategies import UNUSUAL


def load(**changes: Any) -> Module:
    return load_module(ModuleSource("pm", PROJECT), {**PM_NODE, **changes})


#: By the position in UNUSUAL: the field that is loaded and its value; every other unusual value is invalid.
LOADED: Final[dict[tuple[str, str], tuple[str, Any]]] = {
    ("module_id", "'3'"): ("native_id", "3"),
    ("module_id", "4.0"): ("native_id", "4"),
    ("module_id", str(2**63 - 1)): ("native_id", str(2**63 - 1)),
    ("module_name", "''"): ("name", ""),
    ("module_name", "' a '"): ("name", " a "),
    ("parent_module_id", "'3'"): ("parent", "3"),
    ("parent_module_id", "2.0"): ("parent", "2"),
    ("parent_module_id", "-3"): ("parent", "-3"),
    ("parent_module_id", str(2**70)): ("parent", str(2**70)),
    ("deepth", "'2'"): ("depth", 2),
    ("deepth", "1.0"): ("depth", 1),
    ("is_parent", "'true'"): ("has_children", True),
    ("is_parent", "0"): ("has_children", False),
    ("is_parent", "1"): ("has_children", True),
    ("is_parent", "'no'"): ("has_children", False),
}


@pytest.mark.parametrize(("key", "value"), UNUSUAL, ids=repr)
def test_an_unusual_value_is_converted_or_refused(key: str, value: Any) -> None:
    """Digits and whole numbers are integers; nothing is rounded, because 1.5 is not the id of module 1."""
    expected = LOADED.get((key, repr(value)))
    if expected is None:
        with pytest.raises(ValidationError):
            load(**{key: value})
    else:
        assert getattr(load(**{key: value}), expected[0]) == expected[1]


@pytest.mark.parametrize("owner", [None, {}, {"user_id": None}, {"user_id": ""}, {"user_name": "nobody"}])
def test_an_owner_without_id_is_unavailable(owner: Any) -> None:
    """documented: projectman.md §6, 14: owner:null is tolerated."""
    module = load(owner=owner)
    assert module.owners == ()
    assert "owners" in module.unavailable


def test_the_names_of_an_owner_are_optional() -> None:
    """An id without names is an owner."""
    assert load(owner={"user_id": OWNER, "nick_name": None}).owners == (Owner(OWNER),)
