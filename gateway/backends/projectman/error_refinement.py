"""The cause of a refusal without a published code, found by listing the project.

ProjectMan publishes no code for a duplicate name, a missing parent or a missing module.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from gateway.backends.projectman.client import ProjectManClient
from gateway.backends.projectman.errors import ERRORS
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
from gateway.domain.messages import message
from gateway.domain.module import Module

#: ProjectMan uses these for refusals of many kinds.
_AMBIGUOUS_STATUSES: Final = frozenset({400, 404})
#: Possible causes, None for one that does not apply. A generator, because the last one costs a further request.
_PossibleCauses = Iterator[GatewayError | None]


class ErrorRefiner:
    """Compares one refused request with the present state of its project."""

    def __init__(self, client: ProjectManClient, project: str, call: CallContext) -> None:
        self._client = client
        self._project = project
        self._call = call

    def refine_create(self, error: GatewayError, name: str, parent: str | None, owner: str) -> GatewayError:
        """Return why a create failed: the name exists, or the parent or the owner does not."""

        def possible_causes(modules: Sequence[Module]) -> _PossibleCauses:
            yield _name_conflict(name, modules)
            yield ParentNotFound() if parent is not None and _is_missing(parent, modules) else None
            # After the causes that are certain, because the service may tell similar names apart.
            yield _name_conflict(name, modules, normalize=_normalize_name)
            yield OwnerNotFound() if self._is_not_member(owner) else None

        return self._first_matching_cause(error, possible_causes)

    def refine_update(self, error: GatewayError, native_id: str, name: str, owner: str) -> GatewayError:
        """Return why an update failed: the module does not exist, another has the name, or the owner is unknown."""

        def possible_causes(modules: Sequence[Module]) -> _PossibleCauses:
            others = [module for module in modules if module.native_id != native_id]
            yield ModuleNotFound() if _is_missing(native_id, modules) else None
            yield _name_conflict(name, others)
            yield _name_conflict(name, others, normalize=_normalize_name)
            yield OwnerNotFound() if self._is_not_member(owner) else None

        return self._first_matching_cause(error, possible_causes)

    def refine_delete(self, error: GatewayError, native_id: str) -> GatewayError:
        """Return why a delete failed: the module does not exist."""

        def possible_causes(modules: Sequence[Module]) -> _PossibleCauses:
            yield ModuleNotFound() if _is_missing(native_id, modules) else None

        return self._first_matching_cause(error, possible_causes)

    def _first_matching_cause(
        self, error: GatewayError, possible_causes: Callable[[Sequence[Module]], _PossibleCauses]
    ) -> GatewayError:
        """Return the first cause that applies, or the original error if none does or the project cannot be read."""
        failure = error.context.failure
        if failure is None or failure.status not in _AMBIGUOUS_STATUSES:
            return error
        # A published code has decided already, unless it means no more than that the backend failed; so has the lack of
        # any code, which leaves the outcome unknown.
        if not isinstance(error, BackendError) and (failure.code is None or failure.code in ERRORS.rows):
            return error
        try:
            modules = self._client.list_modules(self._project, self._call)
            cause = next(filter(None, possible_causes(modules)), None)
        except GatewayError:  # the project cannot be read: the cause stays unknown
            return error
        if cause is None:
            return error
        errors = (FieldError(cause.pointer, cause.code),) if cause.pointer else ()
        return type(cause)(cause.message, errors=errors, context=error.context, existing=cause.existing)

    def _is_not_member(self, owner: str) -> bool:
        return owner not in self._client.member_ids(self._project, self._call)


def _name_conflict(
    name: str, modules: Sequence[Module], normalize: Callable[[str], str] | None = None
) -> ModuleAlreadyExists | None:
    """Return the error that shows the first module of this name, None if there is none.

    With `normalize`, names that it makes equal are the same.
    """
    for module in modules:
        if module.name == name or (normalize is not None and normalize(module.name) == normalize(name)):
            detail = message("name_taken_in_scope", name=module.name, scope=module.scope)
            return ModuleAlreadyExists(detail, existing=module.id)
    return None


def _normalize_name(name: str) -> str:
    """Return a name without case, width and white space: how the service compares names is not documented."""
    return "".join(unicodedata.normalize("NFKC", name).split()).casefold()


def _is_missing(native_id: str, modules: Sequence[Module]) -> bool:
    return all(module.native_id != native_id for module in modules)
