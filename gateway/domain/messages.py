"""Texts of error details and field errors, by key, with named values.

The key is the stable part: each language has its own table with the same keys and the same values (the Chinese table
is in `gateway.api.i18n`). A new backend may use `verbatim` until its texts are in the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

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
    "content_type_expected": "Send Content-Type: {media_types}, in UTF-8.",
    "content_encoding_unsupported": "Content-Encoding is not supported.",
    "json_too_deep": "The body is nested deeper than {levels} levels.",
    "json_not_utf8": "The body is not well-formed UTF-8, or contains half of a surrogate pair.",
    "json_not_an_object": "The body must be a JSON object.",
    "json_duplicate_key": "The body contains the same key twice in one object.",
    "json_not_a_number": "{name} is not a JSON number.",
    "json_number_too_large": "The body contains a number that is too large.",
    "json_number_too_long": "The body contains a number with too many digits.",
    "json_syntax": "The JSON syntax is invalid at line {line}, column {column}: {reason}.",
    # authentication and authorization
    "no_credential": "The request carries no credential.",
    "api_key_unknown": "The API key belongs to no caller.",
    "bearer_expected": "The Authorization header must be Bearer followed by an API key or a token.",
    "certificate_unknown": "The client certificate belongs to no caller.",
    "token_invalid": "The token cannot be verified.",
    "token_expired": "The token has expired.",
    "token_not_yet_valid": "The token is not valid yet.",
    "token_algorithm_not_allowed": "The token is signed with an algorithm that is not allowed.",
    "token_key_unknown": "The token is signed with a key that its issuer does not publish.",
    "token_user_missing": "The token's claim {claim} contains no user name.",
    "token_claims_unmatched": "The token's claims match no caller, or more than one.",
    "jwks_unavailable": "The keys that verify tokens could not be fetched.",
    "jwks_unusable": "The issuer publishes no usable key.",
    "caller_not_allowed": "The caller {caller} is not allowed to {action} modules in scope {scope} of {backend}.",
    "loopback_only": "auth.mode is none: this server answers requests to its loopback addresses only.",
    "caller_rate_limited": "Caller rate limit exceeded.",
    "passthrough_credential_required": "The connection {backend} uses the caller's own credential: send {header}.",
    "passthrough_credential_missing": "This connection uses the caller's own token, and the request carries none.",
    "passthrough_credential_rejected": "The backend rejected the credential that the request carries.",
    # fields
    "unknown_field": "There is no such field.",
    "required": "This field is required.",
    "must_not_be_null": "Must not be null.",
    "must_not_be_empty": "Must not be empty.",
    "wrong_type": "Has the wrong type.",
    "type_expected": "Must be of type {type}.",
    "not_a_choice": "Is not one of the allowed values.",
    "given_twice": "Is given more than once.",
    "duplicate_item": "Is already in the list.",
    "range": "Must be between {minimum} and {maximum}.",
    "at_most": "Must be at most {maximum}.",
    "too_long": "Is longer than {maximum} characters.",
    "too_long_bytes": "Is longer than {maximum} bytes in UTF-8.",
    "owners_too_long": "The owner ids together are longer than {maximum} bytes.",
    "too_many_items": "At most {maximum} can be given.",
    "owner_required": "At least one owner is required.",
    "description_required": "The description is required: the backend replaces it and the old one cannot be read.",
    "owner_missing": "The module has no owner that an update could keep.",
    "pattern": "Contains characters, or has a form, that the backend refuses.",
    "not_a_backend_id": "Is not an id of this backend.",
    "page_token_invalid": "Is not a page token of this list with these filters.",
    "field_unsupported": "The backend does not support this field.",
    "field_immutable": "The field cannot be changed after the module was created.",
    "no_such_connection": "There is no connection of this name; see /backends.",
    # state of the module
    "name_taken_in_parent": "A module named '{name}' already exists under parent {parent} of scope {scope}.",
    "name_taken_in_scope": "A module named '{name}' already exists in scope {scope}.",
    "value_not_kept": "The backend stored another value.",
    "name_of_template": "The service template {template} gives its modules the name '{name}'.",
    "name_taken_by_another": "Another module of this name exists; it is not the result of this create.",
    # backend
    "not_connected": "No connection to the backend could be made; nothing was sent.",
    "connection_lost_after_send": "The connection failed after the request was sent; it may have been applied.",
    "connection_lost": "The connection to the backend failed.",
    "response_not_http": "The backend's response is not valid HTTP, or it is incomplete.",
    "deadline_before_send": "The deadline passed before the request was sent.",
    "connection_misconfigured": "The backend's certificate or address, or a configured header, is invalid.",
    "iam_credentials_rejected": "IAM rejected these credentials; the gateway does not retry them for a while.",
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
    "response_no_template": "Invalid backend response: it contains no service template.",
    "response_no_members": "Invalid backend response: it contains no list of members.",
    "response_no_token": "Invalid backend response: it contains no token.",
    "response_no_deletion": "Invalid backend response: it does not confirm the deletion.",
    # operations and journal
    "create_not_applied": "The module was not found within the settle window: the create was not applied.",
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
    "accepts_id": "a positive integer, in digits",
    "accepts_cmdb_user": "letters, digits and @ . _ -, a letter or digit first",
    "accepts_cmdb_users": (
        "user names joined by commas, no spaces: letters, digits and @ . _ -, a letter or digit first"
    ),
    "accepts_cmdb_enum": "an enum id such as 1 or 2",
    "accepts_projectman_name": "1 to 30 letters, digits, Chinese characters (U+4E00 to U+9FA5), - and _",
    "accepts_projectman_user": "32 digits and lower-case letters",
    "accepts_projectman_project": "32 letters and digits",
}


@dataclass(frozen=True, slots=True)
class Message:
    """A text by its key; `str()` returns it in English."""

    key: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return ENGLISH[self.key].format_map(self.values)


def message(key: str, **values: object) -> Message:
    """Return the message of a key with its named values."""
    return Message(key, values)


def verbatim(text: str) -> Message:
    """Return a message whose text is `text` in every language."""
    return Message("verbatim", {"text": text})
