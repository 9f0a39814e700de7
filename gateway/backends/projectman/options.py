"""The settings of a ProjectMan connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final

from marshmallow import ValidationError, validates_schema

from gateway.settings import Secret
from gateway.settings.fields import Choice, Flag, Number, SecretText, SettleSeconds, Text, Url
from gateway.transport import TransportSettings
from gateway.transport.settings import TransportSchema

#: The header of a token, the gateway's own or a caller's.
CREDENTIAL_HEADER: Final = "X-Auth-Token"
USER_ID: Final = r"[0-9a-z]{32}"
#: Where the service runs (source: the vendor's SDK, region/projectman_region.py).
REGIONS: Final = (
    "cn-north-4", "cn-north-1", "cn-east-2", "cn-south-1", "cn-southwest-2", "cn-east-3",
    "ap-southeast-3", "la-north-2", "sa-brazil-1",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """An AK/SK pair that signs every request; a temporary one has a `security_token`."""

    access_key: Secret  # not secret by itself, but it changes with the secret key
    secret_key: Secret
    security_token: Secret | None = None
    iam_project_id: str = ""  # sent as X-Project-Id if not empty; never the project of a module


@dataclass(frozen=True, slots=True, kw_only=True)
class IamPassword:
    """An IAM user, for whom IAM issues tokens."""

    iam_url: str
    domain: str
    user: str
    password: Secret
    project: str  # the IAM project that the token is for


@dataclass(frozen=True, slots=True)
class Passthrough:
    """The caller's own X-Auth-Token is passed through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A valid ProjectMan connection."""

    base_url: str
    auth: AccessKey | IamPassword | Passthrough
    default_owner: str = ""
    keeps_omitted_description: bool = False
    settle_seconds: float = 130.0
    clock_skew_seconds: float = 300.0
    probe_before_create: bool = False
    limits: TransportSettings


#: The value of `credentials`, and the class whose fields are the settings of that kind.
_CREDENTIALS: Final[Mapping[str, type[AccessKey | IamPassword | Passthrough]]] = {
    "aksk": AccessKey,
    "token": IamPassword,
    "passthrough": Passthrough,
}
_CREDENTIAL_SETTINGS: Final = frozenset(field.name for class_ in _CREDENTIALS.values() for field in fields(class_))


class OptionsSchema(TransportSchema):
    """The table of a ProjectMan connection."""

    target = Options

    region = Choice(REGIONS, blank=True)
    base_url = Url()
    credentials = Choice(_CREDENTIALS, load_default="aksk")
    access_key = SecretText(r"[\x21-\x7e]+", "visible ASCII", warn_if_literal=False)
    secret_key = SecretText()
    security_token = SecretText()
    iam_project_id = Text("[0-9A-Fa-f]{32}", "32 hexadecimal digits", blank=True)
    iam_url = Url()
    domain = Text()
    user = Text()
    password = SecretText()
    project = Text()
    default_owner = Text(USER_ID, "32 of 0-9 a-z", blank=True)
    omitted_description = Choice(("refused", "kept"), load_default="refused")
    settle_seconds = SettleSeconds()
    clock_skew_seconds = Number(allow_zero=True)
    probe_before_create = Flag()

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_combination(self, data: dict[str, Any], original: dict[str, Any], **_kwargs: Any) -> None:
        """Require an address or a region, and the settings of the chosen credentials and no others."""
        region = original.get("region")
        errors: dict[str, list[str]] = {}
        if region and "base_url" in original:
            errors["region"] = ["must not be set together with base_url"]
        required, foreign = {"base_url"}, frozenset[str]()
        if kind := data.get("credentials"):
            own_fields = fields(_CREDENTIALS[kind])
            required |= {field.name for field in own_fields if field.default is MISSING}
            foreign = _CREDENTIAL_SETTINGS - {field.name for field in own_fields}
        for name in sorted(required - original.keys() - (_region_defaults(region).keys() if region else set())):
            errors[name] = ["is missing"]
        for name in foreign & original.keys():
            errors[name] = [f'is not a setting of credentials = "{kind}"']
        if errors:
            raise ValidationError(errors)

    def build(self, values: dict[str, Any]) -> Any:
        """Return the options; a region determines the addresses and the IAM project that are not set."""
        region, credentials_class = values.pop("region", ""), _CREDENTIALS[values.pop("credentials")]
        if region:
            values = _region_defaults(region) | values
        settings = {name: values.pop(name) for name in _CREDENTIAL_SETTINGS & values.keys()}
        # Only the fields of the class: the region's defaults contain settings of every kind of credentials.
        values["auth"] = credentials_class(
            **{field.name: settings[field.name] for field in fields(credentials_class) if field.name in settings}
        )
        values["keeps_omitted_description"] = values.pop("omitted_description") == "kept"
        return super().build(values)


def _region_defaults(region: str) -> dict[str, str]:
    return {
        "base_url": f"https://projectman-ext.{region}.myhuaweicloud.com",
        "iam_url": f"https://iam.{region}.myhuaweicloud.com",
        "project": region,  # a region's default IAM project has the region's name
    }
