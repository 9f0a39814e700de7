"""Why ProjectMan refused, found out by looking: it publishes no code for a duplicate, a missing parent or module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from gateway.backends.projectman.client import Client
from gateway.backends.projectman.errors import ERRORS
from gateway.backends.projectman.tree import Listed
from gateway.domain.backend import CallContext
from gateway.domain.errors import (
    BackendError,
    FieldError,
    GatewayError,
    ModuleAlreadyExists,
    ModuleNotFound,
    OwnerNotFound,
    ParentNotFound,
)

_DOUBTFUL: Final = frozenset({400, 404})
_Causes = Iterator[tuple[bool, type[GatewayError]]]  # whether it holds is found out one after the other


class Diagnosis:
    """What one refused request wanted, held against what the project has."""

    def __init__(self, client: Client, project: str, call: CallContext) -> None:
        self._client = client
        self._project = project
        self._call = call

    def of_create(self, error: GatewayError, name: str, parent: str | None, owner: str) -> GatewayError:
        """Explain the refusal of a create: the name is taken, the parent or the owner is not there."""

        def causes(modules: Sequence[Listed]) -> _Causes:
            yield any(module.name == name for module in modules), ModuleAlreadyExists
            yield parent is not None and all(module.native_id != parent for module in modules), ParentNotFound
            yield self._is_no_member(owner), OwnerNotFound

        return self._explain(error, causes)

    def of_update(self, error: GatewayError, native_id: str, name: str, owner: str) -> GatewayError:
        """Explain the refusal of an update: the module is gone, the name is taken, the owner is not there."""

        def causes(modules: Sequence[Listed]) -> _Causes:
            yield all(module.native_id != native_id for module in modules), ModuleNotFound
            yield any(m.name == name and m.native_id != native_id for m in modules), ModuleAlreadyExists
            yield self._is_no_member(owner), OwnerNotFound

        return self._explain(error, causes)

    def of_delete(self, error: GatewayError, native_id: str) -> GatewayError:
        """Explain the refusal of a delete: the module is gone."""

        def causes(modules: Sequence[Listed]) -> _Causes:
            yield all(module.native_id != native_id for module in modules), ModuleNotFound

        return self._explain(error, causes)

    def _explain(self, error: GatewayError, causes: Callable[[Sequence[Listed]], _Causes]) -> GatewayError:
        """Return the first cause that holds; the refusal itself where none does or nobody can tell."""
        fault = error.context.failure
        if fault is None or fault.status not in _DOUBTFUL:
            return error
        if not isinstance(error, BackendError) and (fault.code is None or fault.code in ERRORS.rows):
            return error
        try:
            modules = self._client.listed(self._project, self._call)
            cause = next((cause for holds, cause in causes(modules) if holds), None)
        except GatewayError:
            return error
        if cause is None:
            return error
        errors = (FieldError(cause.pointer, cause.code, cause.title),) if cause.pointer else ()
        return cause(errors=errors, context=error.context)

    def _is_no_member(self, owner: str) -> bool:
        return owner not in self._client.member_ids(self._project, self._call)
