"""The headers that authenticate a request at BlueKing: the application, and the user it acts for."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gateway.backends.cmdb.options import Options
from gateway.domain.backend import CallContext
from gateway.domain.errors import Unauthenticated
from gateway.domain.messages import message


class AuthHeaders:
    """The application's code and secret, and a user: the caller's, or the connection's."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._app_credentials = {"bk_app_code": options.app_code, "bk_app_secret": options.app_secret.value}
        self._common_headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Blueking-Language": "en",  # read by the ESB
            "X-Bkcmdb-Language": "en",  # passed on by the API gateway
            **({"X-Bk-Tenant-Id": options.tenant_id} if options.tenant_id else {}),
        }
        self._default_headers = self._build_headers({"bk_username": options.username})

    def headers(self, call: CallContext) -> Mapping[str, str]:
        """Return the headers of a request; raises Unauthenticated if the caller's token is needed and missing."""
        if self._options.passthrough:
            if call.credential is None:
                raise Unauthenticated(message("passthrough_credential_missing"))
            return self._build_headers({"bk_token": call.credential})
        return self._default_headers if call.user is None else self._build_headers({"bk_username": call.user})

    def _build_headers(self, user: Mapping[str, str]) -> Mapping[str, str]:
        return {**self._common_headers, "X-Bkapi-Authorization": json.dumps({**self._app_credentials, **user})}
