"""What differs between the releases of CMDB that a twin can play; source: facts, section 0."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

LOCAL: Final = timezone(timedelta(hours=8))


@dataclass(frozen=True)
class Version:
    """The switches of one release."""

    wraps_validation: bool  # 1199011 around the inner message, since 3.14.1
    duplicate: int  # the code of a name already taken
    zone: tzinfo  # of the times in replies
    renames_keys: bool  # code/message instead of bk_error_* behind the API gateway, since 3.12.4
    request_id_header: str  # the reply header with CMDB's own request id
    forbids_operators: bool  # $where and the like, since 3.14.8


VERSIONS: Final[dict[str, Version]] = {
    "3.9": Version(
        wraps_validation=False,
        duplicate=1101099,
        zone=LOCAL,
        renames_keys=False,
        request_id_header="Cc_Request_Id",
        forbids_operators=False,
    ),
    "3.13": Version(
        wraps_validation=False,
        duplicate=1199014,
        zone=LOCAL,
        renames_keys=True,
        request_id_header="Cc_Request_Id",
        forbids_operators=False,
    ),
    "3.14.7": Version(
        wraps_validation=True,
        duplicate=1199014,
        zone=LOCAL,
        renames_keys=True,
        request_id_header="X-Request-Id",
        forbids_operators=False,
    ),
    "3.14.8": Version(
        wraps_validation=True,
        duplicate=1199014,
        zone=UTC,
        renames_keys=True,
        request_id_header="X-Request-Id",
        forbids_operators=True,
    ),
}
VERSIONS["3.14"] = VERSIONS["3.14.8"]


def stamp(moment: datetime, zone: tzinfo) -> str:
    """Write a time as Go does: milliseconds without their trailing zeros, `Z` for UTC (facts, section 8)."""
    local = moment.astimezone(zone)
    fraction = f".{local.microsecond // 1000:03}".rstrip("0").rstrip(".")
    offset = "Z" if zone is UTC else local.strftime("%z")
    offset = offset if offset == "Z" else f"{offset[:3]}:{offset[3:]}"
    return f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{offset}"
