"""How the gateway says to BlueKing who it is: one header, never the body."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gateway.backends.cmdb.options import Options


def headers(options: Options) -> Mapping[str, str]:
    """Return the headers of every call: who asks, and messages in English for the log."""
    who = {
        "bk_app_code": options.app_code,
        "bk_app_secret": options.app_secret.value,
        "bk_username": options.username,
    }
    tenant = {"X-Bk-Tenant-Id": options.tenant_id} if options.tenant_id else {}
    return {
        "X-Bkapi-Authorization": json.dumps(who),
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Blueking-Language": "en",  # the ESB reads this one
        "X-Bkcmdb-Language": "en",  # the API gateway passes on this one
        **tenant,
    }
