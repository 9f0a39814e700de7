"""Drafts, modules and errors as the journal keeps them: plain JSON, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from gateway import json_codec
from gateway.domain.error_mapping import UpstreamFailure
from gateway.domain.errors import REGISTRY, BackendError, ErrorContext, FieldError, GatewayError
from gateway.domain.module import Module, ModuleDraft, Owner

_MODULE: Final = tuple(field.name for field in fields(Module))
_of_module: Final = attrgetter(*_MODULE)


def fingerprint(backend: str, draft: Mapping[str, Any], if_exists: str) -> str:
    """Return the SHA-256 of a validated request: equal requests, however they were spelt, are one."""
    return hashlib.sha256(json_codec.write_sorted([backend, draft, if_exists])).hexdigest()


def draft_to_json(draft: ModuleDraft) -> dict[str, Any]:
    """Write a draft down."""
    return {
        "scope": draft.scope,
        "parent": draft.parent,
        "name": draft.name,
        "description": draft.description,
        "owners": None if draft.owners is None else list(draft.owners),
        "attributes": dict(draft.attributes),
    }


def draft_from_json(kept: Mapping[str, Any]) -> ModuleDraft:
    """Read it back."""
    owners = kept["owners"]
    return ModuleDraft(**{**kept, "owners": None if owners is None else tuple(owners)})


def module_to_json(module: Module, *, adopted: bool) -> dict[str, Any]:
    """Write a module down, and whether it had been there before."""
    # asdict() copies deeply, at the price of a reply read.
    kept: dict[str, Any] = dict(zip(_MODULE, _of_module(module), strict=True))
    kept["owners"] = [{"id": each.id, "name": each.name, "display_name": each.display_name} for each in module.owners]
    for instant in ("created_at", "updated_at"):
        kept[instant] = kept[instant].isoformat() if kept[instant] else None
    return {"adopted": adopted, "module": kept}


def module_from_json(kept: Mapping[str, Any]) -> tuple[Module, bool]:
    """Read it back."""
    told = dict(kept["module"])
    for instant in ("created_at", "updated_at"):
        told[instant] = datetime.fromisoformat(told[instant]) if told[instant] else None
    told["owners"] = tuple(Owner(**owner) for owner in told["owners"])
    told["unavailable"] = tuple(told["unavailable"])
    return Module(**told), kept["adopted"]


def error_to_json(error: GatewayError) -> dict[str, Any]:
    """Write an error down, the backend's words excepted: they stand in the log."""
    failure, permission, retry_after = error.context
    return {
        "code": error.code,
        "detail": error.detail,
        "errors": [asdict(each) for each in error.errors],
        "fault": _failure_to_json(failure) if failure else None,
        "permission": permission,
        "retry_after": retry_after,
        "existing": error.existing,
        "diff": error.diff,
    }


def error_from_json(kept: Mapping[str, Any]) -> GatewayError:
    """Read it back; a code that this version does not know any more is a plain refusal."""
    failure = _failure_from_json(kept["fault"]) if kept["fault"] else None
    return REGISTRY.get(kept["code"], BackendError)(
        kept["detail"],
        errors=[FieldError(**each) for each in kept["errors"]],
        context=ErrorContext(failure, kept["permission"], kept["retry_after"]),
        existing=kept["existing"],
        diff=kept["diff"],
    )


def _failure_to_json(failure: UpstreamFailure) -> dict[str, Any]:
    """Serialize a failure; the key `writes` is part of the stored format, which older versions read."""
    document = asdict(failure)
    document["writes"] = document.pop("is_write")
    return {**document, "message": ""}


def _failure_from_json(document: Mapping[str, Any]) -> UpstreamFailure:
    fields = dict(document)
    return UpstreamFailure(is_write=fields.pop("writes"), **fields)
