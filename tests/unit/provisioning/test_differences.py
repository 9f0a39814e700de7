"""What if_exists=adopt compares: every given field that can be read back, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.module import Module, ModuleDraft, Owner
from gateway.provisioning.create import find_differences

PLACE = {"scope": "1", "name": "demo"}


@pytest.mark.parametrize(
    ("wanted", "found", "pointers"),
    [
        ({}, {}, set()),
        ({}, {"description": "x", "owners": (Owner("a"),), "attributes": {"b": 1}}, set()),
        ({"parent": "10"}, {"parent": "11"}, {"/parent"}),
        ({"parent": None}, {"parent": "11"}, set()),
        ({"description": "a"}, {"description": "b"}, {"/description"}),
        ({"description": "a"}, {"description": None, "unavailable": ("description",)}, set()),
        ({"owners": ("a", "b")}, {"owners": (Owner("b"), Owner("a", "A"))}, set()),
        ({"owners": ()}, {"owners": (Owner("a"),)}, {"/owners"}),
        ({"owners": ("a",)}, {"unavailable": ("owners",)}, set()),
        ({"attributes": {"a": 1, "b": 2}}, {"attributes": {"a": 1, "b": 3, "c": 4}}, {"/attributes/b"}),
        ({"attributes": {"a": 1}}, {}, {"/attributes/a"}),
    ],
)
def test_differences(wanted: dict[str, Any], found: dict[str, Any], pointers: set[str]) -> None:
    """Not given is not compared, an order of owners is none, and what cannot be read cannot differ."""
    draft = ModuleDraft(**{"parent": None, **PLACE, **wanted})
    module = Module(backend="cmdb", ref="1", native_id="1", **{"parent": None, **PLACE, **found})
    assert find_differences(draft, module).keys() == pointers
