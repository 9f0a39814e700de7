"""The fields of a ProjectMan module and their rules (source: the vendor's page on creating a module)."""

from __future__ import annotations

from functools import partial
from typing import Final

from gateway.backends.projectman.options import CREDENTIAL_HEADER, USER_ID, Options, Passthrough
from gateway.backends.projectman.schemas import fill_in_owner
from gateway.domain.capabilities import Capabilities, FieldSpec
from gateway.domain.messages import message

PROJECT_ID: Final = r"[A-Za-z0-9]{32}"
#: Of modules; documented for IPD projects, for others not at all.
MAX_LEVELS: Final = 3
_INT32_MAX: Final = 2**31 - 1
#: The vendor's page has \u4E00-\u9FA5-_ in a character class; the hyphen after the range is literal.
_NAME_PATTERN: Final = r"[A-Za-z0-9_\-\u4e00-\u9fa5]{1,30}"


def build_capabilities(options: Options) -> Capabilities:
    """Return the capabilities of a connection."""
    return Capabilities(
        type="projectman",
        title="Huawei Cloud ProjectMan",
        scope=FieldSpec(
            name="scope",
            description="The CodeArts project's id (not the IAM project's).",
            required=True,
            writable=("create",),
            pattern=PROJECT_ID,
            allowed_description=message("accepts_projectman_project"),
        ),
        parent=FieldSpec(
            name="parent",
            description="The parent module's native_id, or null for a module at the top.",
            writable=("create",),
            pattern=r"[1-9][0-9]{0,9}",
            allowed_description=message("accepts_id"),
            maximum=_INT32_MAX,
        ),
        name=FieldSpec(
            name="name",
            description="module_name, unique in its project.",
            required=True,
            pattern=_NAME_PATTERN,
            allowed_description=message("accepts_projectman_name"),
            # The vendor's page on changing a module has [^/\:*?]{0,30}; that the backslash is meant is inferred.
            update_rule=(r"[^/\\:*?]{1,30}", message("accepts_projectman_updated_name")),
            max_length=30,
        ),
        description=FieldSpec(
            name="description",
            description="Contained only in the response to a create or update; it cannot be read back.",
            readable=False,
            max_length=255,
        ),
        owners=FieldSpec(
            name="owners",
            kind="owners",
            description="The IAM user id of the one owner, a member of the project.",
            required=not options.default_owner,
            pattern=USER_ID,
            allowed_description=message("accepts_projectman_user"),
            max_items=1,
        ),
        settle_seconds=options.settle_seconds,
        clock_skew_seconds=options.clock_skew_seconds,
        hard_timeout_seconds=options.limits.hard_timeout_seconds,
        normalize=partial(fill_in_owner, options.default_owner),
        probe_before_create=options.probe_before_create,
        parent_is_module=True,
        lookup_lists_scope=True,
        reads_before=frozenset({"update"}),
        credential_header=CREDENTIAL_HEADER if isinstance(options.auth, Passthrough) else None,
        lookups=("scopes", "parents", "owners"),
        limits={"levels": MAX_LEVELS, "modules_per_project": 350},
        notes=(
            "An update replaces the description: "
            + ("it is kept if it is left out." if options.keeps_omitted_description else "it is required."),
            *((f"Without owners, {options.default_owner} is the owner.",) if options.default_owner else ()),
        ),
    )
