"""Texts of error details and field errors, by key, with named values.

The key is the stable part: each language has its own table with the same keys and the same values (the Chinese table
is in `gateway.api.i18n`). A new backend may use `verbatim` until its texts are in the tables.

A text whose key is an error code is the detail of an error without a message. Its values come from the request; without
one of them, the title of the error is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from unicodedata import category

ENGLISH: Final[Mapping[str, str]] = {
    "verbatim": "{text}",
    # HTTP
    "expectation_unsupported": "The only supported Expect header is 100-continue.",
    "header_malformed": "A header's name or value is malformed, or a header that must be unique is repeated.",
    "headers_too_large": "At most {fields} headers of at most {field_bytes} bytes each are accepted.",
    "request_line_malformed": "The request line must be METHOD TARGET HTTP/1.1, with an upper-case method.",
    "request_line_too_long": "The request line is longer than {line_bytes} bytes.",
    "too_many_connections": "The request had not arrived completely when its connection was needed for others.",
    "transfer_coding_unsupported": "The only supported transfer coding is chunked.",
    # request body
    "body_incomplete": "The body ended before it was complete.",
    "body_malformed": "The chunks of the body are malformed.",
    "content_type_expected": "Content-Type '{content_type}' is not accepted. Send {media_types}, in UTF-8.",
    "content_encoding_unsupported": "Content-Encoding '{encoding}' is not supported. Send the body without it.",
    "accept_expected": "Accept '{accept}' excludes what this resource has: {media_types}.",
    "payload_too_large": "The body is longer than {maximum} bytes.",
    "json_too_deep": "The body is nested deeper than {levels} levels.",
    "json_not_utf8": "The body is not well-formed UTF-8, or contains half of a surrogate pair.",
    "json_not_an_object": "The body must be a JSON object, not {value}.",
    "json_duplicate_key": "The body contains the key '{name}' twice in one object.",
    "json_not_a_number": "{name} is not a JSON number.",
    "json_number_too_large": "The body contains the number {value}, which is too large.",
    "json_number_too_long": "The body contains a number with more than {maximum} digits.",
    "json_syntax": "The JSON syntax is invalid at line {line}, column {column}: {reason}.",
    # authentication and authorization
    "no_credential": "The request carries no credential.",
    "api_key_unknown": "The API key belongs to no caller.",
    "bearer_expected": "The Authorization header must be Bearer followed by an API key or a token.",
    "certificate_unknown": "The client certificate belongs to no caller.",
    "token_invalid": "The token is not accepted; the log of the gateway says why.",
    "jwks_unavailable": "The keys that verify tokens could not be fetched.",
    "jwks_unusable": "The issuer publishes no usable key.",
    "caller_not_allowed": "The caller {caller} is not allowed to {action} modules in scope {scope} of {backend}.",
    "audit_not_allowed": "The caller {caller} may not read changes: its allow-list has no rule with audit.",
    "loopback_only": "auth.mode is none: this server answers requests to its loopback addresses only.",
    "caller_rate_limited": "Caller rate limit exceeded.",
    "passthrough_credential_required": "The connection {backend} uses the caller's own credential: send {header}.",
    "passthrough_credential_missing": "This connection uses the caller's own token, and the request carries none.",
    "passthrough_credential_rejected": "The backend rejected the credential that the request carries.",
    # fields
    "unknown_field": "There is no field '{name}'. There are: {fields}.",
    "no_parameters": "There is no parameter '{name}': this endpoint has none.",
    "required": "'{name}' is required.",
    "must_not_be_null": "'{name}' must not be null.",
    "must_not_be_empty": "'{name}' must not be empty.",
    "type_expected": "'{value}' has the wrong type. Expected: {type}.",
    "not_a_choice": "'{value}' is not one of the allowed values: {choices}.",
    "given_twice": "'{name}' is given more than once; give it once.",
    "duplicate_item": "'{value}' is in the list twice; give it once.",
    "range": "'{value}' must be between {minimum} and {maximum}.",
    "at_most": "'{value}' must be at most {maximum}.",
    "too_long": "'{value}' is longer than {maximum} characters.",
    "too_long_bytes": "'{value}' is longer than {maximum} bytes in UTF-8.",
    "owners_too_long": "The owner ids '{value}' together are longer than {maximum} bytes.",
    "too_many_items": "{count} are given, but at most {maximum} are allowed.",
    "owner_required": "At least one owner is required.",
    "description_required": "The description is required: the backend replaces it and the old one cannot be read.",
    "owner_missing": "The module has no owner that an update could keep. Send one in owners.",
    "pattern": "'{value}' has characters, or a form, that the backend refuses. Allowed: {allowed}.",
    "not_a_backend_id": "'{value}' is not an id of this backend. Allowed: {allowed}.",
    "page_token_invalid": "'{value}' is not a page token of this list with these filters; send its next_page_token.",
    "field_unsupported": "The backend does not support the field '{name}'.",
    "field_immutable": "The field '{name}' cannot be changed after the module was created.",
    "no_such_connection": "There is no connection '{name}'. There are: {connections}.",
    "batch_size": "A batch has 1 to 100 items.",
    "ref_pattern": "'{value}' is not a name of 1 to 64 letters, digits and . _ -",
    "parent_ref_unknown": "'{value}' is not the ref of another item with the same backend and scope.",
    "parent_cycle": "The item '{value}' is below itself.",
    "parent_twice": "An item has either parent or parent_ref.",
    "length_between": "Must have 1 to 500 characters.",
    "lookup_not_supported": "The backend {backend} has no call that lists {kind}.",
    # details by error code
    "validation_failed": "{count} values are refused: {fields}.",
    "module_not_found": "There is no module with the id '{id}'.",
    "operation_not_found": "There is no operation with the id '{id}' that the caller may read.",
    "not_found": "There is no path '{path}'; /openapi.json lists all.",
    "method_not_allowed": "'{path}' does not accept {method}. It accepts: {methods}.",
    "idempotency_key_invalid": "'{value}' is not a key of 1 to 255 visible ASCII characters, bare or quoted.",
    "idempotency_key_reused": "The key '{key}' belongs to an earlier request with other content. Use a new key.",
    "scope_not_found": "{backend} has no scope '{scope}', or the gateway cannot see it.",
    "parent_not_found": "Scope '{scope}' of {backend} has no parent '{parent}'.",
    "path_not_found": "There is no module with the id '{id}': its scope or parent does not exist.",
    "owner_not_found": "Scope '{scope}' of {backend} has no user or member '{owners}'.",
    "module_already_exists": "A module named '{name}' already exists in scope {scope}.",
    "module_exists_differently": "A module named '{name}' already exists with other values; diff lists them.",
    "create_in_progress": "Another request is creating a module named '{name}'; this one changed nothing.",
    "module_busy": "Another change of the module '{id}' is under way; this one changed nothing.",
    "module_not_empty": "The module '{id}' has children, hosts or associations.",
    # codes of errors[]
    "field_code_choice": "The value is not one of the allowed values.",
    "field_code_duplicate": "The list contains the value already.",
    "field_code_not_kept": "The backend did not keep the value that was sent.",
    "field_code_null": "The value must not be null.",
    "field_code_pattern": "The value has a form or characters that are not allowed; `allowed` says which are.",
    "field_code_range": "The number is too small or too large.",
    "field_code_repeated": "The parameter is given more than once.",
    "field_code_required": "The value is missing or empty.",
    "field_code_too_long": "The value is too long.",
    "field_code_too_many": "The list has too many items.",
    "field_code_type": "The value has the wrong type.",
    "field_code_unknown_field": "There is no such field or parameter.",
    # state of the module
    "name_taken_in_parent": "A module named '{name}' already exists under parent {parent} of scope {scope}.",
    "name_taken_in_scope": "A module named '{name}' already exists in scope {scope}.",
    "value_not_kept": "'{value}' was sent, and the backend has '{stored}'.",
    "name_of_template": "The service template {template} gives its modules the name '{name}'.",
    "name_taken_by_another": "Another module of this name exists; it is not the result of this create.",
    "etag_differs": "The module {module} has none of the etags in If-Match; its current one is in ETag.",
    # backend
    "not_connected": "No connection to the backend could be made; nothing was sent.",
    "connection_lost_after_send": "The connection failed after the request was sent; it may have been applied.",
    "connection_lost": "The connection to the backend failed.",
    "response_not_http": "The backend's response is not valid HTTP, or it is incomplete.",
    "deadline_before_send": "The deadline passed before the request was sent.",
    "connection_misconfigured": "The backend's certificate or address, or a configured header, is invalid.",
    "credentials_rejected": "The backend has rejected the configured credentials; they are not sent again for a while.",
    "credentials_wait_exceeded": "The new credentials were not accepted before the deadline; nothing was sent.",
    "token_wait_exceeded": "No token was available before the deadline; nothing was sent.",
    "backend_rate_limited": "The configured request rate of this backend is reached; nothing was sent.",
    "read_before_write_failed": "The backend could not be read before the change; nothing was changed.",
    "update_not_read_back": "The change was accepted, but the module could not be read back.",
    "module_has_children": "The module has children; cascade=true deletes them too.",
    "delete_incomplete": "{deleted} of {total} modules were deleted; repeat the request.",
    "response_too_large": "Invalid backend response: it is too large.",
    "response_not_json": "Invalid backend response: it is not a JSON document.",
    "response_no_envelope": "Invalid backend response: it has no envelope.",
    "response_no_module": "Invalid backend response: it contains no module.",
    "response_no_modules": "Invalid backend response: it contains no list of modules.",
    "response_no_sets": "Invalid backend response: it contains no list of sets.",
    "response_no_businesses": "Invalid backend response: it contains no list of businesses.",
    "response_no_projects": "Invalid backend response: it contains no list of projects.",
    "response_no_template": "Invalid backend response: it contains no service template.",
    "response_no_members": "Invalid backend response: it contains no list of members.",
    "response_no_token": "Invalid backend response: it contains no token.",
    "response_no_deletion": "Invalid backend response: it does not confirm the deletion.",
    # operations and journal
    "create_not_applied": "The module was not found within the settle window: the create was not applied.",
    "operation_in_state": "The operation is {state}; only one that is ambiguous, or past its window, can be resolved.",
    "operation_in_window": "The create may still be applied; not_applied can be decided after its settle window.",
    "operation_settled_meanwhile": "The operation was settled in the meantime; read it.",
    "resolved_module_missing": "There is no module {module}.",
    "resolved_module_differs": "The module {module} does not have the natural key of the operation: {natural_key}.",
    "journal_not_reached": "The journal has not answered yet.",
    "journal_failed": "The journal cannot be used: {reason}.",
    "claim_too_late": "The journal stored the claim after the deadline; nothing was sent.",
    "journal_not_durable": "The database server does not write commits to the disk (fsync = off).",
    "journal_moved": "The journal's file was moved or deleted. Restore it, or restart the gateway.",
    "journal_directory": "The journal's directory cannot be created.",
    "journal_schema": "The journal's schema has version {version}; this program supports at most {supported}.",
    "journal_contention": "Too many operations used this name at the same time.",
    "journal_commit_interrupted": "The commit that contained this write was interrupted.",
    # values that a field accepts
    "accepts_cmdb_name": '1 to {maximum} bytes without white space, control characters and \\ | / : * , < > " ? #',
    "accepts_cmdb_short_name": (
        '1 to {maximum} characters without white space, control characters and \\ | / : * , < > " ? #'
    ),
    "accepts_cmdb_updated_name": 'no white space and none of \\ | / : * , < > " ? #',
    "accepts_id": "a positive integer, in digits",
    "accepts_cmdb_user": "letters, digits and @ . _ -, a letter or digit first",
    "accepts_cmdb_users": (
        "user names joined by commas, no spaces: letters, digits and @ . _ -, a letter or digit first"
    ),
    "accepts_cmdb_enum": "an enum id such as 1 or 2",
    "accepts_projectman_name": "1 to 30 letters, digits, Chinese characters (U+4E00 to U+9FA5), - and _",
    "accepts_projectman_updated_name": "1 to 30 characters without / \\ : * ?",
    "accepts_projectman_user": "32 digits and lower-case letters",
    "accepts_projectman_project": "32 letters and digits",
}


#: Longer values of a caller or a backend are cut, so that a text stays readable.
_MAX_VALUE_LENGTH: Final = 200


class _Values(dict[str, object]):
    """The values of a text; one that is missing, as in a message that an older version stored, is a question mark."""

    def __missing__(self, _name: str) -> str:
        return "?"


@dataclass(frozen=True, slots=True)
class Message:
    """A text by its key; `str()` returns it in English."""

    key: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text(ENGLISH)

    def text(self, texts: Mapping[str, str], **more_values: object) -> str:
        """Return the text in the language of `texts`."""
        return texts[self.key].format_map(_Values(self.values, **more_values))


def message(key: str, /, **values: object) -> Message:
    """Return the message of a key with its named values, each printable and of limited length."""
    return Message(key, {name: printable(value) for name, value in values.items()})


def printable(value: object) -> object:
    """Return a number as it is; anything else as a text of one line and limited length, objects and lists as {…}, […].

    Of a container only a list of texts is written out: another may be anything, such as a credential.
    """
    if type(value) in {int, float} and len(str(value)) <= _MAX_VALUE_LENGTH:
        return value
    if isinstance(value, list | tuple):
        value = ", ".join(value) if all(isinstance(item, str) for item in value) else "[…]"
    elif isinstance(value, dict):
        value = "{…}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    clipped = text if len(text) <= _MAX_VALUE_LENGTH else f"{text[:_MAX_VALUE_LENGTH]}…"
    # Spaces other than the ASCII one (category Zs), which Python does not call printable, stay as they are.
    return "".join(char if char.isprintable() or category(char) == "Zs" else ascii(char)[1:-1] for char in clipped)


def verbatim(text: str) -> Message:
    """Return a message whose text is `text` in every language."""
    return Message("verbatim", {"text": text})
