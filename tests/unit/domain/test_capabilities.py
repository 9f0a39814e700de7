"""What a backend is expected to make of a change, unless it says otherwise."""

from __future__ import annotations

from gateway.domain.capabilities import unchanged
from gateway.domain.module import ModuleDraft, ModulePatch


def test_a_backend_stores_what_is_sent() -> None:
    """The default of `Capabilities.normalize` changes neither a draft nor a patch."""
    draft, patch = ModuleDraft(scope="1", parent=None, name=" a "), ModulePatch(owners=())
    assert unchanged(draft) is draft
    assert unchanged(patch) is patch
