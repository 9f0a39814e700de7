"""The registry of errors."""

from __future__ import annotations

import pytest

from gateway.domain.errors import REGISTRY, GatewayError, ModuleNotFound
from gateway.domain.messages import verbatim


def test_a_code_is_registered_once() -> None:
    """Every registered class has its code, a title and a description; a second class of a code is refused."""
    assert all(error.code == code and error.title and error.description() for code, error in REGISTRY.items())
    before = dict(REGISTRY)
    with pytest.raises(TypeError, match="two errors say module_not_found"):
        type("Another", (GatewayError,), {"code": "module_not_found"})
    assert before == REGISTRY


def test_a_class_without_its_own_code_is_not_registered() -> None:
    """This holds for groups of errors, and for subclasses that inherit a code."""
    before = dict(REGISTRY)
    type("Group", (GatewayError,), {})
    type("Subclass", (ModuleNotFound,), {})
    assert before == REGISTRY


def test_the_default_detail_is_the_title() -> None:
    """`detail` is also the text of the exception."""
    assert str(ModuleNotFound()) == ModuleNotFound().detail == ModuleNotFound.title
    assert str(ModuleNotFound(verbatim("gone"))) == ModuleNotFound(verbatim("gone")).detail == "gone"
