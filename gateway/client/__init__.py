"""The Python client of the gateway: `from gateway.client import Client`. It imports nothing of the server."""

from gateway.client.client import Client
from gateway.client.errors import (
    ApiError,
    Invalid,
    ModuleAlreadyExists,
    ModuleExistsDifferently,
    NotAllowed,
    NotFound,
    OutcomeAmbiguous,
    OutcomeUnknown,
    PreconditionFailed,
    Unavailable,
    UpdateNotKept,
)

__all__ = [
    "ApiError",
    "Client",
    "Invalid",
    "ModuleAlreadyExists",
    "ModuleExistsDifferently",
    "NotAllowed",
    "NotFound",
    "OutcomeAmbiguous",
    "OutcomeUnknown",
    "PreconditionFailed",
    "Unavailable",
    "UpdateNotKept",
]
