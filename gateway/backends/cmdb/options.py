"""The settings of a CMDB connection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from marshmallow import ValidationError, validates_schema

from gateway.settings import Secret
from gateway.settings.fields import Choice, Flag, Integer, ListOf, Number, SecretText, SettleSeconds, Text, Url
from gateway.transport import TransportSettings
from gateway.transport.settings import TransportSchema

#: Attributes that only CMDB writes; some of them, if sent, hide a module or make it built-in.
RESERVED_ATTRIBUTES: Final = re.compile(
    r"default|bk_supplier_account|bk_created_.*|bk_updated_.*|set_template_id|create_time|last_time"
    r"|bk_(biz|set|parent|module)_id|bk_module_name|operator|bk_data_status"
)
#: The rate limit of BlueKing's API gateway for one application on one resource.
_APIGW_REQUESTS_PER_SECOND: Final = 100.0
#: A constant of CMDB's source, which no API tells; builds of 3.9 from May to July 2021 have 32.
_NAME_MAX_CHARACTERS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A valid CMDB connection."""

    base_url: str
    route: Literal["esb", "apigw"] = "esb"
    app_code: str
    app_secret: Secret
    username: str = ""  # the acting user of calls without one; empty if every caller sends its own token
    passthrough: bool = False  # the caller's bk_token is passed through
    tenant_id: str = ""
    attributes: tuple[str, ...] = ()  # custom attributes of the module model
    name_max_characters: int = _NAME_MAX_CHARACTERS
    settle_seconds: float = 130.0
    clock_skew_seconds: float = 300.0
    probe_before_create: bool = False
    limits: TransportSettings


def _refuse_reserved_attribute(name: str) -> None:
    if RESERVED_ATTRIBUTES.fullmatch(name):
        raise ValidationError("must not be an attribute that CMDB or another field of a module sets")


class OptionsSchema(TransportSchema):
    """The table of a CMDB connection."""

    target = Options

    base_url = Url(required=True)
    route = Choice(("esb", "apigw"))
    app_code = Text(required=True)
    app_secret = SecretText(required=True)
    username = Text(blank=True)
    credentials = Choice(("username", "passthrough"), load_default="username")
    tenant_id = Text("[A-Za-z0-9_-]{1,64}", "a tenant's id: at most 64 of A-Z a-z 0-9 _ -", blank=True)
    attributes = ListOf(
        Text(
            "[A-Za-z][A-Za-z0-9_]{0,127}",
            "the id of an attribute: a letter, then at most 127 of A-Z a-z 0-9 _",
            validate=[_refuse_reserved_attribute],
        )
    )
    name_max_characters = Integer(maximum=256)
    settle_seconds = SettleSeconds()
    clock_skew_seconds = Number(allow_zero=True)
    probe_before_create = Flag()

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_username(self, data: dict[str, Any], original: dict[str, Any], **_kwargs: Any) -> None:
        """Require a user for calls without one, unless callers send their own tokens."""
        if data.get("credentials") == "username" and not original.get("username"):
            raise ValidationError('is missing, but required unless credentials = "passthrough"', "username")

    def build(self, values: dict[str, Any]) -> Any:
        """Return the options; with the route apigw, the default rate limit is that of the API gateway."""
        if values.get("route") == "apigw":
            values.setdefault("requests_per_second", _APIGW_REQUESTS_PER_SECOND)
        values["passthrough"] = values.pop("credentials") == "passthrough"
        return super().build(values)
