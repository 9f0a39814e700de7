"""What an operator may set for a CMDB connection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, cast

from gateway.settings import Secret, Table
from gateway.transport import TransportSettings

#: Written by CMDB alone; some of them, sent along, would hide a module or make it built-in.
NEVER: Final = re.compile(
    r"default|bk_supplier_account|bk_created_.*|bk_updated_.*|set_template_id|create_time|last_time"
    r"|bk_(biz|set|parent|module)_id|bk_module_name|operator|bk_data_status"
)
_ATTRIBUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One CMDB connection, sound."""

    base_url: str
    route: Literal["esb", "apigw"]
    app_code: str
    app_secret: Secret
    username: str  # who acts where the caller names nobody; empty where every caller brings his own token
    passes_credentials: bool = False  # a caller's bk_token says who acts
    tenant_id: str
    attributes: tuple[str, ...]  # custom attributes of the module model
    settle_seconds: float
    probe_before_create: bool = False
    limits: TransportSettings


def parse_options(table: Table) -> Options:
    """Read a connection's settings; mistakes are noted in the table."""
    attributes = table.texts("attributes")
    for name in attributes:
        if not _ATTRIBUTE.fullmatch(name) or NEVER.fullmatch(name):
            table.wrong("attributes", f"{name} cannot be listed")
    passes = table.choice("credentials", ("username", "passthrough"), "username") == "passthrough"
    route = cast("Literal['esb', 'apigw']", table.choice("route", ("esb", "apigw"), "esb"))
    return Options(
        base_url=table.url("base_url"),
        route=route,
        app_code=table.text("app_code"),
        app_secret=table.secret("app_secret"),
        username=table.text("username", "" if passes else None),
        passes_credentials=passes,
        tenant_id=table.text("tenant_id", "", pattern=r"[A-Za-z0-9_-]{1,64}", shape="a tenant's id"),
        attributes=attributes,
        settle_seconds=table.number("settle_seconds", 130.0),
        probe_before_create=table.flag("probe_before_create", default=False),
        limits=TransportSettings.read(
            table, requests_per_second=100.0 if route == "apigw" else 0.0
        ),  # an app's, on a resource
    )
