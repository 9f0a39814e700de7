"""Creates modules with a vendor's own client and prints the CPU of this process: `vendor.py NAME URL RUN COUNT`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from os import environ
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.performance.messages import CMDB_CREDENTIALS, OWNER, PROJECT

Create = Callable[[str], None]
_WARM_UP: Final = 20


def cmdb(url: str) -> Create:
    """Return a function that calls the ESB with bkapi-component-open; all calls share one connection."""
    from bkapi_component.open.client import Client  # noqa: PLC0415 - only the measured client is imported

    client = Client(endpoint=url, bk_api_ver="v2")
    client.update_bkapi_authorization(**CMDB_CREDENTIALS)

    def create(name: str) -> None:
        data = {"bk_parent_id": 10, "bk_module_name": name, "operator": "admin"}
        assert client.cc.create_module({"bk_biz_id": 1, "bk_set_id": 10, "data": data})["data"]["bk_module_id"]

    return create


def projectman(url: str) -> Create:
    """Return a function that sends signed requests with huaweicloudsdkprojectman over one connection."""
    from huaweicloudsdkcore.auth.credentials import BasicCredentials  # noqa: PLC0415 - after HOME is set
    from huaweicloudsdkcore.http.http_config import HttpConfig  # noqa: PLC0415 - after HOME is set
    from huaweicloudsdkprojectman import v4  # noqa: PLC0415 - after HOME is set

    builder: Any = v4.ProjectManClient.new_builder()
    credentials = BasicCredentials("AKTEST", "SKTEST", "0000000000000000000000000000000a")
    config = HttpConfig.get_default_config()
    client = builder.with_credentials(credentials).with_http_config(config).with_endpoints([url]).build()

    def create(name: str) -> None:
        owner = v4.UserRequest(user_id=OWNER)
        body = v4.CreateProjectModuleRequestBody(module_name=name, description="module demo", owner=owner)
        assert client.create_project_module(v4.CreateProjectModuleRequest(project_id=PROJECT, body=body)).module_id

    return create


def main(name: str, url: str, run: str, count: int) -> None:
    """Create `count` modules after a warm-up and print requests, seconds and CPU seconds of all threads."""
    with TemporaryDirectory(prefix="bench-home-") as environ["HOME"]:  # the clients write there when imported
        create = {"cmdb": cmdb, "projectman": projectman}[name](url)
        for number in range(_WARM_UP):
            create(f"w{run}{number}")
        started, cpu = time.monotonic(), time.process_time()
        for number in range(count):
            create(f"m{run}{number}")
        sample = {"requests": count, "cpu_seconds": time.process_time() - cpu, "seconds": time.monotonic() - started}
    sys.stdout.write(json.dumps(sample) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
