"""What an operator may set for a ProjectMan connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.settings import Secret, Table
from gateway.transport import TransportSettings

#: In which a token travels, the gateway's own or a caller's.
CREDENTIAL_HEADER: Final = "X-Auth-Token"
USER_ID: Final = r"[0-9a-z]{32}"
#: Where the service runs (source: the vendor's SDK, region/projectman_region.py).
REGIONS: Final = (
    "cn-north-4", "cn-north-1", "cn-east-2", "cn-south-1", "cn-southwest-2", "cn-east-3",
    "ap-southeast-3", "la-north-2", "sa-brazil-1",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """Sign every request with an AK/SK pair; `security_token` for temporary ones."""

    access_key: str
    secret_key: Secret
    security_token: Secret | None
    iam_project_id: str  # sent as X-Project-Id where not empty; never the project of a module


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """Fetch a token from IAM as an IAM user."""

    iam_url: str
    domain: str
    user: str
    password: Secret
    project: str  # the region the token is for


@dataclass(frozen=True, slots=True)
class Passed:
    """Nobody but the caller: his own X-Auth-Token is passed through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One ProjectMan connection, sound."""

    base_url: str
    identity: AccessKey | Password | Passed
    default_owner: str
    keeps_omitted_description: bool
    settle_seconds: float
    probe_before_create: bool = False
    limits: TransportSettings


def parse_options(table: Table) -> Options:
    """Read a connection's settings; mistakes are noted in the table."""
    region = table.choice("region", REGIONS, "")
    if region and "base_url" in table.names():
        table.wrong("region", "says where to go, and so does base_url; give one of them")
    base_url = table.url("base_url", f"https://projectman-ext.{region}.myhuaweicloud.com" if region else None)
    kind = table.choice("credentials", ("aksk", "token", "passthrough"), "aksk")
    return Options(
        base_url=base_url,
        identity=_identity(kind, table, region),
        default_owner=table.text("default_owner", "", pattern=f"({USER_ID})?", shape="32 of 0-9 a-z"),
        keeps_omitted_description=table.choice("omitted_description", ("refused", "kept"), "refused") == "kept",
        settle_seconds=table.number("settle_seconds", 130.0),
        probe_before_create=table.flag("probe_before_create", default=False),
        limits=TransportSettings.read(table),
    )


def _identity(kind: str, table: Table, region: str) -> AccessKey | Password | Passed:
    if kind == "passthrough":
        return Passed()
    return _password(table, region) if kind == "token" else _access_key(table)


def _access_key(table: Table) -> AccessKey:
    temporary = "security_token" in table.names()
    return AccessKey(
        access_key=table.text("access_key", pattern=r"[\x21-\x7e]+", shape="visible ASCII"),
        secret_key=table.secret("secret_key"),
        security_token=table.secret("security_token") if temporary else None,
        iam_project_id=table.text("iam_project_id", "", pattern=r"[0-9a-f]{32}", shape="32 hexadecimal digits"),
    )


def _password(table: Table, region: str) -> Password:
    return Password(
        iam_url=table.url("iam_url", f"https://iam.{region}.myhuaweicloud.com" if region else None),
        domain=table.text("domain"),
        user=table.text("user"),
        password=table.secret("password"),
        project=table.text("project", region or None),
    )
