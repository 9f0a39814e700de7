"""The vendor's own client, pointed at a running twin.

Importing the client writes `$HOME/.huaweicloud/application_id`; hence the temporary home, and imports in fixtures.
"""

from collections.abc import Callable, Generator
from typing import Any

import pytest

from gateway.twins.projectman import create_twin
from gateway.twins.projectman.default_seed import DEMO_PROJECT, DEMO_USER
from gateway.twins.server import running


@pytest.fixture(scope="session")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Generator[Any]:
    """Import the client with a temporary home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        from huaweicloudsdkprojectman import v4  # noqa: PLC0415  # not before HOME is set

        yield v4


@pytest.fixture
def twin_url() -> Generator[str]:
    keys = {"AKTEST": "SKTEST", "STSKEY": {"secret": "STSSECRET", "security_token": "sts-token"}}
    with running(create_twin({"access_keys": keys})) as url:
        yield url


@pytest.fixture
def connect(vendor: Any, twin_url: str) -> Callable[..., Any]:
    """Build a client by the recipe of the facts (section 6b)."""
    from huaweicloudsdkcore.auth.credentials import BasicCredentials  # noqa: PLC0415  # see above
    from huaweicloudsdkcore.http.http_config import HttpConfig  # noqa: PLC0415  # see above

    def build(access_key: str = "AKTEST", secret: str = "SKTEST", token: str | None = None) -> Any:
        config = HttpConfig.get_default_config()
        config.timeout = (3, 5)
        credentials = BasicCredentials(access_key, secret, "0000000000000000000000000000000a")
        if token:
            credentials = credentials.with_security_token(token)
        builder = vendor.ProjectManClient.new_builder().with_credentials(credentials)
        return builder.with_http_config(config).with_endpoints([twin_url]).build()

    return build


@pytest.fixture
def client(connect: Callable[..., Any]) -> Any:
    return connect()


@pytest.fixture
def draft(vendor: Any) -> Callable[..., Any]:
    """Build a create request for the demo project, with the demo user as owner."""

    def request(name: str | None, **fields: Any) -> Any:
        owner = vendor.UserRequest(user_id=DEMO_USER)
        body = vendor.CreateProjectModuleRequestBody(module_name=name, owner=owner, **fields)
        return vendor.CreateProjectModuleRequest(project_id=DEMO_PROJECT, body=body)

    return request
