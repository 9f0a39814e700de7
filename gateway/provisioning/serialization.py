"""Drafts, modules and errors in the form that the journal stores: JSON-compatible dictionaries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from gateway import json_codec
from gateway.domain.error_mapping import UpstreamFailure
from gateway.domain.errors import REGISTRY, BackendError, ErrorContext, FieldError, GatewayError
from gateway.domain.messages import Message, verbatim
from gateway.domain.module import Module, ModuleDraft, Owner
from gateway.domain.operation import Settlement, State

_MODULE_FIELDS: Final = tuple(field.name for field in fields(Module))
_module_fields: Final = attrgetter(*_MODULE_FIELDS)
_FAILURE_FIELDS: Final = tuple(field.name for field in fields(UpstreamFailure))
#: Fields of an UpstreamFailure that have another name in the stored format.
_STORED_KEYS: Final = {"is_write": "writes", "word": "token"}


def fingerprint(backend: str, draft: Mapping[str, Any], if_exists: str) -> str:
    """Return the SHA-256 of a validated request; it does not depend on how the caller's JSON was written."""
    return hashlib.sha256(json_codec.dumps_canonical([backend, draft, if_exists])).hexdigest()


def succeeded(module: Module, *, adopted: bool, at: float, evidence: Mapping[str, Any] | None = None) -> Settlement:
    """Return the settlement of a create that succeeded."""
    return Settlement(
        state=State.SUCCEEDED,
        at=at,
        module=module_to_json(module, adopted=adopted),
        module_id=module.id,
        evidence=evidence,
    )


def refused(error: GatewayError, *, at: float, evidence: Mapping[str, Any] | None = None) -> Settlement:
    """Return the settlement of a create that was refused."""
    return Settlement(state=State.REFUSED, at=at, error=error_to_json(error), evidence=evidence)


def draft_to_json(draft: ModuleDraft) -> dict[str, Any]:
    """Serialize a draft."""
    return {
        "scope": draft.scope,
        "parent": draft.parent,
        "name": draft.name,
        "description": draft.description,
        "owners": None if draft.owners is None else list(draft.owners),
        "attributes": dict(draft.attributes),
    }


def draft_from_json(document: Mapping[str, Any]) -> ModuleDraft:
    """Deserialize a draft."""
    owners = document["owners"]
    return ModuleDraft(**{**document, "owners": None if owners is None else tuple(owners)})


def module_to_json(module: Module, *, adopted: bool) -> dict[str, Any]:
    """Serialize a module, and whether it was adopted."""
    # dataclasses.asdict() copies deeply, which costs as much as parsing a response.
    document: dict[str, Any] = dict(zip(_MODULE_FIELDS, _module_fields(module), strict=True))
    document["owners"] = [
        {"id": owner.id, "name": owner.name, "display_name": owner.display_name} for owner in module.owners
    ]
    for name in ("created_at", "updated_at"):
        document[name] = document[name].isoformat() if document[name] else None
    return {"adopted": adopted, "module": document}


def module_from_json(document: Mapping[str, Any]) -> tuple[Module, bool]:
    """Deserialize a module, and whether it was adopted."""
    values = dict(document["module"])
    for name in ("created_at", "updated_at"):
        values[name] = datetime.fromisoformat(values[name]) if values[name] else None
    values["owners"] = tuple(Owner(**owner) for owner in values["owners"])
    values["unavailable"] = tuple(values["unavailable"])
    return Module(**values), document["adopted"]


def error_to_json(error: GatewayError) -> dict[str, Any]:
    """Serialize an error without the backend's message, which is in the log."""
    failure, permission, retry_after = error.context
    return {
        "code": error.code,
        "detail": error.detail,
        "errors": [
            {
                "pointer": field_error.pointer,
                "code": field_error.code,
                "detail": field_error.detail,
                "allowed": None if field_error.allowed is None else str(field_error.allowed),
            }
            for field_error in error.errors
        ],
        # Older versions read the English texts above and ignore the messages.
        "messages": {
            "detail": _message_to_json(error.message),
            "errors": [
                [_message_to_json(field_error.message), _message_to_json(field_error.allowed)]
                for field_error in error.errors
            ],
        },
        "fault": _failure_to_json(failure) if failure else None,
        "permission": permission,
        "retry_after": retry_after,
        "existing": error.existing,
        "diff": error.diff,
    }


def error_from_json(document: Mapping[str, Any]) -> GatewayError:
    """Deserialize an error; a code that this version does not have becomes BackendError."""
    failure = _failure_from_json(document["fault"]) if document["fault"] else None
    return REGISTRY.get(document["code"], BackendError)(
        _stored_message(document),
        errors=_field_errors_from_json(document),
        context=ErrorContext(failure, document["permission"], document["retry_after"]),
        existing=document["existing"],
        diff=document["diff"],
    )


def _stored_message(document: Mapping[str, Any]) -> Message | None:
    """Return the message of a serialized error; an older version stored only the English text."""
    if "messages" in document:
        return _message_from_json(document["messages"]["detail"])
    return verbatim(document["detail"])


def _field_errors_from_json(document: Mapping[str, Any]) -> list[FieldError]:
    if "messages" in document:
        pairs = document["messages"]["errors"]
    else:
        pairs = [
            [["verbatim", {"text": error["detail"]}], error["allowed"] and ["verbatim", {"text": error["allowed"]}]]
            for error in document["errors"]
        ]
    return [
        FieldError(error["pointer"], error["code"], _message_from_json(text), _message_from_json(allowed))
        for error, (text, allowed) in zip(document["errors"], pairs, strict=True)
    ]


def _message_to_json(message: Message | None) -> list[Any] | None:
    return None if message is None else [message.key, dict(message.values)]


def _message_from_json(document: Sequence[Any] | None) -> Message | None:
    return None if document is None else Message(*document)


def _failure_to_json(failure: UpstreamFailure) -> dict[str, Any]:
    """Serialize a failure under the keys that older versions read, without the backend's message."""
    return {_STORED_KEYS.get(name, name): value for name, value in asdict(failure).items()} | {"message": ""}


def _failure_from_json(document: Mapping[str, Any]) -> UpstreamFailure:
    return UpstreamFailure(**{name: document[_STORED_KEYS.get(name, name)] for name in _FAILURE_FIELDS})
