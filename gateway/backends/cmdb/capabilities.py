"""The fields of a CMDB module and their rules (source: src/common/valid/valid.go, the model's attributes)."""

from __future__ import annotations

from typing import Final

from gateway.backends.cmdb.options import Options
from gateway.backends.cmdb.schemas import normalize
from gateway.domain.capabilities import INT64_MAX, Capabilities, FieldSpec
from gateway.domain.messages import Message, message

#: The request header for the caller's bk_token, which BlueKing's login page sets in a cookie of that name.
CREDENTIAL_HEADER: Final = "X-Bk-Token"
_NAME_MAX_BYTES: Final = 256
_ID_PATTERN: Final = r"[1-9][0-9]{0,18}"
_ID_ALLOWED: Final = message("accepts_id")
_USER_ALLOWED: Final = message("accepts_cmdb_user")

#: The members of `attributes`, in this order; the connection's custom attributes follow.
ATTRIBUTES: Final = (
    FieldSpec(
        name="bk_module_type",
        description="1: normal, 2: database; an administrator of CMDB may define more.",
        pattern=r"[0-9A-Za-z_-]{1,64}",
        allowed_description=message("accepts_cmdb_enum"),
    ),
    FieldSpec(
        name="bk_bak_operator",
        description="The deputies, comma-joined user names.",
        pattern=r"([0-9A-Za-z][A-Za-z0-9@.,_-]*)?",
        allowed_description=message("accepts_cmdb_users"),
        max_bytes=2000,
    ),
    FieldSpec(
        name="service_category_id",
        kind="integer",
        description="The service category; CMDB's default if not given.",
    ),
    FieldSpec(
        name="service_template_id",
        kind="integer",
        writable=("create",),
        description="The service template; CMDB then names the module after the template.",
    ),
    FieldSpec(
        name="host_apply_enabled",
        kind="boolean",
        writable=("update",),
        description="Whether host attributes are applied automatically.",
    ),
    FieldSpec(
        name="set_template_id", kind="integer", writable=(), description="The set template the module came from."
    ),
    FieldSpec(name="default", kind="integer", writable=(), description="0: an ordinary module; else a built-in one."),
    FieldSpec(name="bk_supplier_account", writable=(), description="The supplier account, 0 in practice."),
    FieldSpec(name="bk_created_by", writable=(), description="The user who created the module."),
    FieldSpec(name="bk_updated_by", writable=(), description="The user who changed the module last."),
)


def _describe_allowed_name(max_characters: int) -> Message:
    """Return the rule for names: its limit is in bytes unless the connection's limit in characters is lower."""
    if max_characters < _NAME_MAX_BYTES:
        return message("accepts_cmdb_short_name", maximum=max_characters)
    return message("accepts_cmdb_name", maximum=_NAME_MAX_BYTES)


def build_capabilities(options: Options) -> Capabilities:
    """Return the capabilities of a connection."""
    return Capabilities(
        type="cmdb",
        title="BlueKing CMDB",
        scope=FieldSpec(
            name="scope",
            description="The business: bk_biz_id.",
            required=True,
            writable=("create",),
            pattern=_ID_PATTERN,
            allowed_description=_ID_ALLOWED,
            maximum=INT64_MAX,
        ),
        parent=FieldSpec(
            name="parent",
            description="The set: bk_set_id.",
            required=True,
            writable=("create",),
            pattern=_ID_PATTERN,
            allowed_description=_ID_ALLOWED,
            maximum=INT64_MAX,
        ),
        name=FieldSpec(
            name="name",
            description="bk_module_name, unique in its set, case-sensitive.",
            required=True,
            # White space is Go's \s. Control characters, which CMDB accepts, are refused: they are invisible.
            pattern=r'[^\\|/:*,<>"?#\x00-\x20\x7f]+',
            allowed_description=_describe_allowed_name(options.name_max_characters),
            # CMDB's own rule: a module may have, and get, a name that a new one may not have.
            update_rule=(r'[^\\|/:*,<>"?#\t\n\f\r ]+', message("accepts_cmdb_updated_name")),
            max_length=options.name_max_characters,
            max_bytes=_NAME_MAX_BYTES,
        ),
        description=None,
        owners=FieldSpec(
            name="owners",
            kind="owners",
            description="operator: user names.",
            pattern=r"[0-9A-Za-z][A-Za-z0-9@._-]*",
            allowed_description=_USER_ALLOWED,
            max_bytes=2000,
        ),
        attributes=(
            *ATTRIBUTES,
            *(FieldSpec(name=name, kind="scalar", description="A custom attribute.") for name in options.attributes),
        ),
        settle_seconds=options.settle_seconds,
        clock_skew_seconds=options.clock_skew_seconds,
        hard_timeout_seconds=options.limits.hard_timeout_seconds,
        acting_user=None if options.passthrough else options.username,
        credential_header=CREDENTIAL_HEADER if options.passthrough else None,
        normalize=normalize,
        lookups=("scopes", "parents"),
        probe_before_create=options.probe_before_create,
        reads_before=frozenset({"delete"}),
        limits={"requests_per_second": 100},
        notes=("Modules that CMDB built in are listed only with include=built_in.",),
    )
