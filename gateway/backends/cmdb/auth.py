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
        self._common_headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Blueking-Language": "en",  # read by the ESB
            "X-Bkcmdb-Language": "en",  # passed on by the API gateway
            **({"X-Bk-Tenant-Id": options.tenant_id} if options.tenant_id else {}),
        }
        self._default: tuple[str, Mapping[str, str]] = ("", {})  # a secret, and the headers for the connection's user

    def headers(self, call: CallContext, app_secret: str) -> Mapping[str, str]:
        """Return the headers of a request; raises Unauthenticated if the caller's token is needed and missing."""
        if self._options.passthrough:
            if call.credential is None:
                raise Unauthenticated(message("passthrough_credential_missing"))
            return self._build_headers(app_secret, bk_token=call.credential)
        if call.user is not None:
            return self._build_headers(app_secret, bk_username=call.user)
        secret, headers = self._default
        if secret != app_secret:
            headers = self._build_headers(app_secret, bk_username=self._options.username)
            self._default = app_secret, headers
        return headers

    def _build_headers(self, app_secret: str, **user: str) -> Mapping[str, str]:
        identity = {"bk_app_code": self._options.app_code, "bk_app_secret": app_secret, **user}
        return {**self._common_headers, "X-Bkapi-Authorization": json.dumps(identity)}
