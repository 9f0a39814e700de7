"""Pages of ProjectMan's tree, as documented and as none should be: told twice, at odds with their place, no nodes."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from tests.unit.backends.connections import PM_NODE

_OWNER: Final = PM_NODE["owner"]
#: What a node must tell, and what it may tell.
_NAMED: Final[dict[str, Any]] = {"module_id": st.integers(1, 12), "module_name": st.sampled_from(["a", "b", "None"])}
_TOLD: Final[dict[str, Any]] = {
    "owner": st.sampled_from([None, {}, _OWNER, {"user_id": None}]),
    "parent_module_id": st.none() | st.integers(0, 14),
    "deepth": st.none() | st.integers(0, 3),
    "is_parent": st.none() | st.booleans(),
    "description": st.none() | st.just("d"),
}
#: Of another type or size than documented: some can be read nevertheless.
_ODD_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "module_id": ("3", 4.0, True, 1.5, 0, -1, 2**63, 2**63 - 1, None, "x"),
    "module_name": (None, 7, "", " a "),
    "owner": ("me", 7, [], {"user_id": 7}, {"user_name": {}}, {"nick_name": []}),
    "parent_module_id": ("3", "", 2.0, 2.5, True, "x", -3, 2**70),
    "deepth": ("2", 1.0, True, "deep"),
    "is_parent": ("true", 0, 1, "no", 7),
    "description": (7, {}),
}
ODD: Final = [(key, value) for key, values in _ODD_VALUES.items() for value in values]
_NO_CHILDREN: Final = st.sampled_from([None, "none", 7, {"a": 1}])
_NO_NODE: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [None, 7, "text", [], {}, {"module_id": 1}, {"module_name": "m"}]
)

_USUAL: Final = st.fixed_dictionaries(_NAMED, optional=_TOLD)
_ONE_ODD: Final = st.builds(lambda node, odd: {**node, odd[0]: odd[1]}, _USUAL, st.sampled_from(ODD))


def _trees(nodes: st.SearchStrategy[Any], bare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Put nodes below nodes."""

    def over(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        children = st.lists(inner, max_size=4) | bare
        return st.builds(lambda node, below: {**node, "children": below}, _USUAL, children)

    return st.recursive(nodes, over, max_leaves=8)


USUAL: Final = _trees(_USUAL, st.just([]))
ANY: Final = _trees(_USUAL | _USUAL | _USUAL | _ONE_ODD | _NO_NODE, _NO_CHILDREN)
#: Most are as documented, so that what stands behind an odd one is seen too.
PAGES: Final = st.lists(USUAL, max_size=9) | st.lists(USUAL | USUAL | ANY, max_size=9)
