"""What a backend can keep, as data: served at /backends/{name}, and checked here before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from gateway.domain.errors import FieldError

#: Trimmed from both ends of a name: what Go's unicode.IsSpace and Python agree to call white space.
WHITE_SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
#: Largest id of either backend: a signed 64-bit integer.
INT64_MAX: Final = 2**63 - 1

FieldType = Literal["string", "integer", "boolean", "scalar", "owners"]
Writable = Literal["create", "update"]


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """One field of a module, and the backend's rules for it; lengths in characters unless said otherwise."""

    name: str
    kind: FieldType = "string"
    meaning: str = ""
    required: bool = False
    readable: bool = True
    writable: Sequence[Writable] = ("create", "update")
    pattern: str | None = None  # of the whole value; of each id, for owners
    allowed: str | None = None  # the pattern in words
    max_length: int | None = None
    max_bytes: int | None = None  # in UTF-8; of the comma-joined ids, for owners
    maximum: int | None = None  # of an integer, or of the digits of a string
    max_items: int | None = None

    @cached_property
    def _matcher(self) -> re.Pattern[str]:
        return re.compile(self.pattern or r"(?s:.*)", re.ASCII)

    def validate(self, value: Any, pointer: str) -> Sequence[FieldError]:
        """Name every rule that a value breaks; null passes where the field is not required."""
        if value is None:
            return [FieldError(pointer, "required", "A value is required here.")] if self.required else ()
        python_types, check = _CHECKS[self.kind]
        if type(value) not in python_types:
            return [FieldError(pointer, "type", f"Must be of type {self.kind}.")]
        return () if check is None else check(self, value, pointer)

    def _number_mistakes(self, number: int, pointer: str) -> Sequence[FieldError]:
        maximum = self.maximum or INT64_MAX
        return () if 0 <= number <= maximum else [FieldError(pointer, "range", f"Must be from 0 to {maximum}.")]

    def _text_mistakes(self, text: str, pointer: str) -> Sequence[FieldError]:
        if text == "" and self.required:
            return [FieldError(pointer, "required", "Must not be empty.")]
        found = []
        if self.max_length is not None and len(text) > self.max_length:
            found.append(FieldError(pointer, "too_long", f"Is longer than {self.max_length} characters."))
        if self.max_bytes is not None and len(text.encode()) > self.max_bytes:
            found.append(FieldError(pointer, "too_long", f"Is longer than {self.max_bytes} bytes in UTF-8."))
        if not self._matcher.fullmatch(text):
            wrong = "Has characters or a shape that the backend refuses."
            found.append(FieldError(pointer, "pattern", wrong, self.allowed))
        elif self.maximum is not None and int(text) > self.maximum:
            found.append(FieldError(pointer, "range", f"Must be at most {self.maximum}."))
        return found

    def _owner_mistakes(self, owners: Sequence[str], pointer: str) -> Sequence[FieldError]:
        found = []
        if self.required and not owners:
            found.append(FieldError(pointer, "required", "At least one owner is required."))
        if self.max_items is not None and len(owners) > self.max_items:
            found.append(FieldError(pointer, "too_many", f"At most {self.max_items} can be kept."))
        for index, owner in enumerate(owners):
            if not self._matcher.fullmatch(owner):
                wrong = "Is not an id of this backend."
                found.append(FieldError(f"{pointer}/{index}", "pattern", wrong, self.allowed))
        if self.max_bytes is not None and len(",".join(owners).encode()) > self.max_bytes:
            found.append(FieldError(pointer, "too_long", f"The ids are longer than {self.max_bytes} bytes together."))
        return found


_Check = Callable[[FieldSpec, Any, str], Sequence[FieldError]]
#: Told apart by exact type: true is no number.
_CHECKS: Final[Mapping[FieldType, tuple[tuple[type, ...], _Check | None]]] = {
    "string": ((str,), FieldSpec._text_mistakes),  # noqa: SLF001 - its own methods, told apart by kind
    "integer": ((int,), FieldSpec._number_mistakes),  # noqa: SLF001 - the same
    "boolean": ((bool,), None),
    "scalar": ((str, int, float, bool), None),
    "owners": ((tuple,), FieldSpec._owner_mistakes),  # noqa: SLF001 - the same
}


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """All that a caller can know beforehand about one connection."""

    type: str
    title: str
    scope: FieldSpec
    parent: FieldSpec
    name: FieldSpec
    description: FieldSpec | None
    owners: FieldSpec
    attributes: Sequence[FieldSpec] = ()
    settle_seconds: float  # how long after a lost reply a create may still take effect
    hard_timeout_seconds: float  # how long one call may take
    acting_user: str | None = (
        None  # the user whom the backend takes us for, where it records one and nobody else is named
    )
    credential_header: str | None = None  # in which a caller must send his own credential, where it is passed through
    probe_before_create: bool = False  # look for the name before each create, to know for certain what is new
    limits: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @cached_property
    def fields(self) -> Mapping[str, FieldSpec]:
        """The writable fields of a module by their public names, attributes aside."""
        fields = (self.scope, self.parent, self.name, self.description, self.owners)
        return {field.name: field for field in fields if field is not None}

    @cached_property
    def _attributes(self) -> Mapping[str, FieldSpec]:
        return {field.name: field for field in self.attributes}

    def validate(self, values: Mapping[str, Any], use: Writable) -> list[FieldError]:
        """Name every rule that the given values break; `values` holds only what the caller gave, by public name."""
        found: list[FieldError] = []
        for name, value in values.items():
            if name == "attributes":
                found += self._attribute_mistakes(value, use)
            elif (rules := self.fields.get(name)) is not None:
                found += rules.validate(value, f"/{name}")
            elif value is not None:
                found.append(_unsupported(f"/{name}"))
        if use == "create":
            missing = (rules.name for rules in self.fields.values() if rules.required and rules.name not in values)
            found += (FieldError(f"/{name}", "required", "Is required.") for name in missing)
        return found

    def _attribute_mistakes(self, attributes: Mapping[str, Any], use: Writable) -> Iterator[FieldError]:
        for name, value in attributes.items():
            pointer = f"/attributes/{name.replace('~', '~0').replace('/', '~1')}"
            rules = self._attributes.get(name)
            if rules is None or not rules.writable:
                yield _unsupported(pointer)
            elif use not in rules.writable:
                yield _immutable(pointer) if use == "update" else _unsupported(pointer)
            else:
                yield from rules.validate(value, pointer)


def _unsupported(pointer: str) -> FieldError:
    return FieldError(pointer, "unsupported_field", "The backend cannot keep this field.")


def _immutable(pointer: str) -> FieldError:
    return FieldError(pointer, "immutable_field", "The field is fixed once the module exists.")


def strip_whitespace(text: str) -> str:
    """Take the white space off both ends, as CMDB does before it stores a name."""
    return text.strip(WHITE_SPACE)
