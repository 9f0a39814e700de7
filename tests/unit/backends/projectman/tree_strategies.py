"""Pages of ProjectMan's tree: as documented, and with repeated nodes, other parents, wrong types and non-nodes."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from tests.unit.backends.connections import PM_NODE

_OWNER: Final = PM_NODE["owner"]
_REQUIRED_FIELDS: Final[dict[str, Any]] = {
    "module_id": st.integers(1, 12),
    "module_name": st.sampled_from(["a", "b", "None"]),
}
_OPTIONAL_FIELDS: Final[dict[str, Any]] = {
    "owner": st.sampled_from([None, {}, _OWNER, {"user_id": None}]),
    "parent_module_id": st.none() | st.integers(0, 14),
    "deepth": st.none() | st.integers(0, 3),
    "is_parent": st.none() | st.booleans(),
    "description": st.none() | st.just("d"),
}
#: Values of another type or size than documented; the schema accepts some of them.
_UNUSUAL_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "module_id": ("3", 4.0, True, 1.5, 0, -1, 2**63, 2**63 - 1, None, "x"),
    "module_name": (None, 7, "", " a "),
    "owner": ("me", 7, [], {"user_id": 7}, {"user_name": {}}, {"nick_name": []}),
    "parent_module_id": ("3", "", 2.0, 2.5, True, "x", -3, 2**70),
    "deepth": ("2", 1.0, True, "deep"),
    "is_parent": ("true", 0, 1, "no", 7),
    "description": (7, {}),
}
UNUSUAL: Final = [(key, value) for key, values in _UNUSUAL_VALUES.items() for value in values]
_NO_CHILDREN: Final = st.sampled_from([None, "none", 7, {"a": 1}])
_NOT_A_NODE: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [None, 7, "text", [], {}, {"module_id": 1}, {"module_name": "m"}]
)

_NODE: Final = st.fixed_dictionaries(_REQUIRED_FIELDS, optional=_OPTIONAL_FIELDS)
_UNUSUAL_NODE: Final = st.builds(lambda node, item: {**node, item[0]: item[1]}, _NODE, st.sampled_from(UNUSUAL))


def _trees(nodes: st.SearchStrategy[Any], no_children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nest nodes in nodes."""

    def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        children = st.lists(inner, max_size=4) | no_children
        return st.builds(lambda node, below: {**node, "children": below}, _NODE, children)

    return st.recursive(nodes, extend, max_leaves=8)


_DOCUMENTED: Final = _trees(_NODE, st.just([]))
_ANY: Final = _trees(_NODE | _NODE | _NODE | _UNUSUAL_NODE | _NOT_A_NODE, _NO_CHILDREN)
#: Most nodes are as documented, so that the nodes after an unusual one are also checked.
PAGES: Final = st.lists(_DOCUMENTED, max_size=9) | st.lists(_DOCUMENTED | _DOCUMENTED | _ANY, max_size=9)
