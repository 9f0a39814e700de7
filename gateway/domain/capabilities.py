"""The fields that a backend can store and their rules: published at /backends/{name}, enforced before a send."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal, Protocol, TypeVar

from gateway.domain.errors import BackendReadOnly, ErrorContext, FieldError
from gateway.domain.lookup import LookupKind
from gateway.domain.messages import Message, message, verbatim
from gateway.domain.module import Module, ModuleDraft, ModulePatch

#: Stripped from both ends of a name: the characters that both Go's unicode.IsSpace and Python treat as white space.
WHITE_SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
#: The largest id of both backends: a signed 64-bit integer.
INT64_MAX: Final = 2**63 - 1

#: Whether a connection accepts writes.
ConnectionMode = Literal["read_write", "read_only"]
FieldType = Literal["string", "integer", "boolean", "scalar", "owners"]
#: An operation in which a field can be written.
WriteOperation = Literal["create", "update"]
Change = TypeVar("Change", ModuleDraft, ModulePatch)


class Normalize(Protocol):
    """Returns a draft or patch with the values that the backend makes of it; comparisons use the result."""

    def __call__(self, change: Change, /) -> Change:
        """Return the change as the backend stores it; in a draft, None stands for the backend's own default."""
        ...


def unchanged(change: Change) -> Change:
    """Return the change: the backend stores what is sent."""
    return change


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """One field of a module and the backend's rules for it; lengths are in characters unless stated otherwise."""

    name: str
    kind: FieldType = "string"
    description: str = ""
    required: bool = False
    readable: bool = True
    writable: Sequence[WriteOperation] = ("create", "update")
    pattern: str | None = None  # matches the whole value; for owners, each id
    allowed_description: Message | None = None  # describes the pattern
    update_rule: tuple[str, Message] | None = None  # pattern and description of an update, if they differ
    max_length: int | None = None
    max_bytes: int | None = None  # in UTF-8; for owners, of the comma-joined ids
    maximum: int | None = None  # of an integer, or of a string of digits
    max_items: int | None = None

    @cached_property
    def _compiled_pattern(self) -> re.Pattern[str]:
        return re.compile(self.pattern or r"(?s:.*)", re.ASCII)

    @property
    def _allowed(self) -> Message:
        return self.allowed_description or verbatim(self.pattern or "")

    @cached_property
    def _updated(self) -> FieldSpec:
        """The same field with the rule of an update, if that is another one."""
        pattern, allowed_description = self.update_rule or (self.pattern, self.allowed_description)
        return replace(self, pattern=pattern, allowed_description=allowed_description, update_rule=None)

    def validate(self, value: Any, pointer: str, operation: WriteOperation = "create") -> Sequence[FieldError]:
        """Return an error for each rule that a value breaks; null is valid if the field is not required."""
        if value is None:
            return (
                [FieldError(pointer, "required", message("must_not_be_null", name=self.name))] if self.required else ()
            )
        if type(value) not in _PYTHON_TYPES[self.kind]:
            expected = message("type_expected", value=value, type=_TYPE_NAMES.get(self.kind, self.kind))
            return [FieldError(pointer, "type", expected)]
        if operation == "update" and self.update_rule is not None:
            return self._updated.validate(value, pointer)
        if self.kind == "string":
            return self._validate_string(value, pointer)
        if self.kind == "integer":
            return self._validate_integer(value, pointer)
        return self._validate_owners(value, pointer) if self.kind == "owners" else ()

    def _validate_integer(self, number: int, pointer: str) -> Sequence[FieldError]:
        maximum = self.maximum or INT64_MAX
        if 0 <= number <= maximum:
            return ()
        return [FieldError(pointer, "range", message("range", value=number, minimum=0, maximum=maximum))]

    def _validate_string(self, text: str, pointer: str) -> Sequence[FieldError]:
        if text == "" and self.required:
            return [FieldError(pointer, "required", message("must_not_be_empty", name=self.name))]
        errors = []
        if self.max_length is not None and len(text) > self.max_length:
            errors.append(FieldError(pointer, "too_long", message("too_long", value=text, maximum=self.max_length)))
        if self.max_bytes is not None and len(text.encode()) > self.max_bytes:
            detail = message("too_long_bytes", value=text, maximum=self.max_bytes)
            errors.append(FieldError(pointer, "too_long", detail))
        if not self._compiled_pattern.fullmatch(text):
            errors.append(FieldError(pointer, "pattern", message("pattern", value=text), self._allowed))
        elif self.maximum is not None and int(text) > self.maximum:
            errors.append(FieldError(pointer, "range", message("at_most", value=text, maximum=self.maximum)))
        return errors

    def _validate_owners(self, owners: Sequence[str], pointer: str) -> Sequence[FieldError]:
        errors = []
        if self.required and not owners:
            errors.append(FieldError(pointer, "required", message("owner_required")))
        if self.max_items is not None and len(owners) > self.max_items:
            detail = message("too_many_items", count=len(owners), maximum=self.max_items)
            errors.append(FieldError(pointer, "too_many", detail))
        for index, owner in enumerate(owners):
            if not self._compiled_pattern.fullmatch(owner):
                detail = message("not_a_backend_id", value=owner)
                errors.append(FieldError(f"{pointer}/{index}", "pattern", detail, self._allowed))
        joined_ids = ",".join(owners)
        if self.max_bytes is not None and len(joined_ids.encode()) > self.max_bytes:
            detail = message("owners_too_long", value=joined_ids, maximum=self.max_bytes)
            errors.append(FieldError(pointer, "too_long", detail))
        return errors


#: A value must have exactly one of these types: bool, a subclass of int, is not an integer.
_PYTHON_TYPES: Final[Mapping[FieldType, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "scalar": (str, int, float, bool),
    "owners": (tuple,),
}
#: How a type is called in a detail, if not by its own name.
_TYPE_NAMES: Final[Mapping[FieldType, str]] = {"scalar": "string, number, boolean", "owners": "list of ids"}


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """The fields, limits and times of one connection."""

    type: str
    title: str
    scope: FieldSpec
    parent: FieldSpec
    name: FieldSpec
    description: FieldSpec | None
    owners: FieldSpec
    attributes: Sequence[FieldSpec] = ()
    settle_seconds: float  # how long after a lost reply a create may still be applied
    hard_timeout_seconds: float  # the timeout of one call
    clock_skew_seconds: float = 300.0  # how far the clocks of replicas and backend may differ
    acting_user: str | None = None  # the user that the backend records if the call names none; None: records none
    credential_header: str | None = None  # the header of the caller's own credential, if that is passed through
    normalize: Normalize = unchanged
    lookups: Sequence[LookupKind] = ()  # those that the backend has a call for
    probe_before_create: bool = False  # look up the name before each create, to know which module is new
    parent_is_module: bool = False  # a module can be the parent of another
    lookup_lists_scope: bool = False  # a search for a name reads the whole scope
    reads_before: frozenset[Literal["update", "delete"]] = frozenset()  # the writes before which the module is read
    limits: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    mode: ConnectionMode = "read_write"
    read_only_retry_after: float = 60.0  # of a write while the connection is read-only; seconds

    @cached_property
    def fields(self) -> Mapping[str, FieldSpec]:
        """The writable fields of a module, without attributes, by public name."""
        specs = (self.scope, self.parent, self.name, self.description, self.owners)
        return {spec.name: spec for spec in specs if spec is not None}

    @cached_property
    def _attribute_specs(self) -> Mapping[str, FieldSpec]:
        return {spec.name: spec for spec in self.attributes}

    @cached_property
    def etag_fields(self) -> Sequence[str]:
        """The fields that an etag covers: those that every read contains."""
        specs = (self.name, self.parent, self.owners, self.description)
        names = [spec.name for spec in specs if spec is not None and spec.readable]
        return ("id", *names, *(("attributes",) if self.attributes else ()))

    def etag(self, module: Module) -> str | None:
        """Return a hash of the fields that every read contains; None if this module lacks one of them.

        The order of owners and attributes without a value do not count, because not every response has the same.
        """
        fields = self.etag_fields
        if not set(module.unavailable).isdisjoint(fields):
            return None
        values = {
            **{name: getattr(module, name) for name in fields},
            "owners": sorted({owner.id for owner in module.owners}),
            "attributes": {name: value for name, value in module.attributes.items() if value is not None},
        }
        text = json.dumps(values, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def check_writable(self) -> None:
        """Raise BackendReadOnly if the connection is read-only. Call it before anything is claimed, read or sent."""
        if self.mode == "read_only":
            raise self.read_only_error()

    def read_only_error(self) -> BackendReadOnly:
        """Return the error of a write while the connection is read-only."""
        return BackendReadOnly(context=ErrorContext(retry_after=self.read_only_retry_after))

    def validate(self, values: Mapping[str, Any], operation: WriteOperation) -> list[FieldError]:
        """Return an error for each rule that a request breaks; `values` has its fields, by public name."""
        errors: list[FieldError] = []
        for name, value in values.items():
            if name == "attributes":
                errors += self._validate_attributes(value, operation)
            elif (spec := self.fields.get(name)) is not None:
                errors += spec.validate(value, f"/{name}", operation)
            elif value is not None:  # null is what a read returns for a field that the backend does not have
                errors.append(_unsupported_error(f"/{name}"))
        if operation == "create":
            missing = (name for name, spec in self.fields.items() if spec.required and name not in values)
            errors += (FieldError(f"/{name}", "required", message("required", name=name)) for name in missing)
        return errors

    def _validate_attributes(self, attributes: Mapping[str, Any], operation: WriteOperation) -> Iterator[FieldError]:
        for name, value in attributes.items():
            pointer = f"/attributes/{name.replace('~', '~0').replace('/', '~1')}"
            spec = self._attribute_specs.get(name)
            if spec is None or not spec.writable:
                yield _unsupported_error(pointer)
            elif operation not in spec.writable:
                yield _immutable_error(pointer) if operation == "update" else _unsupported_error(pointer)
            else:
                yield from spec.validate(value, pointer, operation)


def _unsupported_error(pointer: str) -> FieldError:
    return FieldError(pointer, "unsupported_field", message("field_unsupported", name=pointer[1:]))


def _immutable_error(pointer: str) -> FieldError:
    return FieldError(pointer, "immutable_field", message("field_immutable", name=pointer[1:]))


def strip_whitespace(text: str) -> str:
    """Strip white space from both ends, as CMDB does before it stores a name."""
    return text.strip(WHITE_SPACE)
