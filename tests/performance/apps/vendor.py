"""Creates modules with a vendor's own client and writes what one cost its process: `vendor.py NAME URL RUN COUNT`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from os import environ
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.performance.bodies import OWNER, PROJECT

Create = Callable[[str], None]
_WARM: Final = 20


def cmdb(url: str) -> Create:
    """Use bkapi-component-open over the ESB, one client and so one connection for all."""
    from bkapi_component.open.client import Client  # noqa: PLC0415 - each client is imported where it is measured

    client = Client(endpoint=url, bk_api_ver="v2")
    client.update_bkapi_authorization(bk_app_code="gateway", bk_app_secret="secret", bk_username="admin")

    def create(name: str) -> None:
        data = {"bk_parent_id": 10, "bk_module_name": name, "operator": "admin"}
        assert client.cc.create_module({"bk_biz_id": 1, "bk_set_id": 10, "data": data})["data"]["bk_module_id"]

    return create


def projectman(url: str) -> Create:
    """Use huaweicloudsdkprojectman with a signed request, one client and so one connection for all."""
    from huaweicloudsdkcore.auth.credentials import BasicCredentials  # noqa: PLC0415 - after HOME is set
    from huaweicloudsdkcore.http.http_config import HttpConfig  # noqa: PLC0415 - the same
    from huaweicloudsdkprojectman import v4  # noqa: PLC0415 - the same

    builder: Any = v4.ProjectManClient.new_builder()
    credentials = BasicCredentials("AKTEST", "SKTEST", "0000000000000000000000000000000a")
    config = HttpConfig.get_default_config()
    client = builder.with_credentials(credentials).with_http_config(config).with_endpoints([url]).build()

    def create(name: str) -> None:
        owner = v4.UserRequest(user_id=OWNER)
        body = v4.CreateProjectModuleRequestBody(module_name=name, description="module demo", owner=owner)
        assert client.create_project_module(v4.CreateProjectModuleRequest(project_id=PROJECT, body=body)).module_id

    return create


CLIENTS: Final[Mapping[str, Callable[[str], Create]]] = {"cmdb": cmdb, "projectman": projectman}


def main(name: str, url: str, run: str, count: int) -> None:
    """Create that many, after a few that are not counted; CPU is the whole process's, its threads included."""
    with TemporaryDirectory(prefix="bench-home-") as environ["HOME"]:  # importing a client writes there
        create = CLIENTS[name](url)
        for number in range(_WARM):
            create(f"w{run}{number}")
        started, cpu = time.monotonic(), time.process_time()
        for number in range(count):
            create(f"m{run}{number}")
        spent = {"requests": count, "cpu_seconds": time.process_time() - cpu, "seconds": time.monotonic() - started}
    sys.stdout.write(json.dumps(spent) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
