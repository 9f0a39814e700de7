"""Huawei's own client works with the twin: items of section 6 marked T, and the parsing of section 4b."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
import requests

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


DEMO = "0792b7d26cb74bd799cbae80063dc74a"
OWNER = "09d75cde5180d4481f91c018e89cb8e2"

pytestmark = pytest.mark.loopback

Draft = Callable[..., Any]


def listed(client: Any, vendor: Any, **paging: int) -> Any:
    return client.list_project_modules(vendor.ListProjectModulesRequest(project_id=DEMO, **paging))


def counted(twin_url: str) -> Any:
    return requests.get(f"{twin_url}/twin/requests", timeout=5).json()


def refusal_of(call: Callable[[Any], Any], request: Any) -> Any:
    from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException  # noqa: PLC0415  # after HOME is set

    with pytest.raises(ClientRequestException) as refused:
        call(request)
    return refused.value


def test_create_reads_back_what_was_sent(client: Any, draft: Draft) -> None:
    """Items 1 and 30: the client's escaped Chinese arrives; status 200; every field of the response is understood."""
    created = client.create_project_module(draft("模块-1_a", description="module demo", parent_module_id=1))
    assert (created.status_code, created.module_id, created.module_name) == (200, 46691, "模块-1_a")
    assert created.description == "module demo"
    owner = created.owner
    assert (owner.user_id, owner.user_num_id, owner.user_name) == (OWNER, 4091, "demo_user_name_06")
    assert owner.nick_name == "模块demo"


def test_list_gives_the_tree(client: Any, vendor: Any) -> None:
    """Item 13: the client reads `deepth`, `is_parent` and `children`."""
    response = listed(client, vendor, offset=0, limit=100)
    (top,) = response.modules
    (child,) = top.children
    assert (response.total, top.module_id, top.deepth, top.is_parent) == (1, 1, 1, True)
    assert (child.module_id, child.parent_module_id, child.deepth, child.is_parent) == (2, 1, 2, True)


def test_list_pages(client: Any, vendor: Any, draft: Draft) -> None:
    """Items 11 and 12: ten without a limit, offsets in steps of the limit, and no module twice."""
    for number in range(24):
        client.create_project_module(draft(f"m{number}"))
    assert len(listed(client, vendor).modules) == 10
    pages = [listed(client, vendor, offset=offset, limit=10) for offset in (0, 10, 20, 30)]
    assert [len(page.modules) for page in pages] == [10, 10, 5, 0]
    assert {page.total for page in pages} == {25}
    names = [module.module_name for page in pages for module in page.modules]
    assert names == ["platform", *(f"m{number}" for number in range(24))]


def test_update_replaces(client: Any, vendor: Any) -> None:
    """Item 5: name, owner and description change, the place in the tree does not."""
    body = vendor.UpdateProjectModuleRequestBody(
        module_name="renamed.v2", description="", owner=vendor.UserRequest(user_id="1c6e2f0b9a8d4753b2e1f0c9d8a7b6e5")
    )
    request = vendor.UpdateProjectModuleRequest(project_id=DEMO, module_id=2, body=body)
    updated = client.update_project_module(request)
    assert (updated.status_code, updated.module_id, updated.module_name) == (200, 2, "renamed.v2")
    assert (updated.description, updated.owner.user_num_id) == ("", 4092)
    (child,) = listed(client, vendor).modules[0].children
    assert (child.module_name, child.parent_module_id) == ("renamed.v2", 1)


def test_delete_returns_204(client: Any, vendor: Any) -> None:
    """Item 4; a second delete is refused; the connection can be reused after an empty response."""
    request = vendor.DeleteProjectModuleRequest(project_id=DEMO, module_id=1)
    assert client.delete_project_module(request).status_code == 204
    assert listed(client, vendor).modules == []
    assert refusal_of(client.delete_project_module, request).error_code == "PM.EMU00003"


@pytest.mark.parametrize(
    ("name", "fields", "code"),
    [
        ("a b", {}, "PM.02175006"),
        (None, {}, "PM.02175006"),
        ("demo", {"description": "a" * 256}, "PM.02175006"),
        ("platform", {}, "PM.EMU00001"),
        ("demo", {"parent_module_id": 99}, "PM.EMU00002"),
        ("demo", {"parent_module_id": 3}, "PM.EMU00004"),
    ],
)
def test_a_refused_create_is_understood(
    client: Any, draft: Draft, name: str | None, fields: dict[str, Any], code: str
) -> None:
    """Section 4b: the client reads status, code, message and X-Request-Id."""
    refused = refusal_of(client.create_project_module, draft(name, **fields))
    assert (refused.status_code, refused.error_code) == (400, code)
    assert refused.error_msg
    assert len(refused.request_id) == 32


@pytest.mark.parametrize("with_body", [True, False], ids=["{}", "empty"])
def test_a_request_without_fields_is_refused(client: Any, vendor: Any, *, with_body: bool) -> None:
    """Item 8: the client validates nothing, and sends `{}` as well as an empty body."""
    body = vendor.CreateProjectModuleRequestBody() if with_body else None
    request = vendor.CreateProjectModuleRequest(project_id=DEMO, body=body)
    assert refusal_of(client.create_project_module, request).error_code == "PM.02175006"


def test_an_owner_who_is_not_a_member_is_refused(client: Any, draft: Draft) -> None:
    """Item 9: a valid id, but not of a member of the project."""
    request = draft("demo")
    request.body.owner.user_id = "2d7f3a1c0b9e5864c3f2a1d0e9b8c7f6"
    assert refusal_of(client.create_project_module, request).error_code == "PM.02177003"


def test_a_missing_project_becomes_the_iam_project(client: Any, vendor: Any) -> None:
    """Section 6b: without a project_id the client sends the IAM project's, which is not a CodeArts project."""
    refused = refusal_of(client.list_project_modules, vendor.ListProjectModulesRequest())
    assert (refused.status_code, refused.error_code) == (400, "PM.02152005")


def test_bad_paging_is_refused(client: Any, vendor: Any) -> None:
    """Item 11: an offset that is no multiple of the limit."""
    request = vendor.ListProjectModulesRequest(project_id=DEMO, offset=5, limit=10)
    assert refusal_of(client.list_project_modules, request).error_code == "PM.02174103"


def test_a_wrong_secret_is_refused_once(connect: Callable[..., Any], vendor: Any, twin_url: str) -> None:
    """Item 17: 401 with the API gateway's message, after exactly one attempt."""
    request = vendor.ListProjectModulesRequest(project_id=DEMO)
    refused = refusal_of(connect(secret="SKTESS").list_project_modules, request)
    assert (refused.status_code, refused.error_code) == (401, "APIGW.0301")
    assert refused.error_msg == "verify aksk signature fail"
    assert counted(twin_url) == {"list_modules": 1, "tokens_issued": 0}


def test_a_temporary_key_works_with_its_token(connect: Callable[..., Any], vendor: Any) -> None:
    """Section 3b: the client adds X-Security-Token and signs it."""
    assert listed(connect("STSKEY", "STSSECRET", "sts-token"), vendor).total == 1
    request = vendor.ListProjectModulesRequest(project_id=DEMO)
    assert refusal_of(connect("STSKEY", "STSSECRET", "x").list_project_modules, request).status_code == 401


def test_members_projects_and_the_user_are_understood(client: Any, vendor: Any) -> None:
    """Section 1, the reads that help to find an owner and a project."""
    members = client.list_project_members_v4(vendor.ListProjectMembersV4Request(project_id=DEMO, offset=0, limit=100))
    assert [(member.user_id, member.user_num_id, member.role_id) for member in members.members] == [
        (OWNER, 4091, -1),
        ("1c6e2f0b9a8d4753b2e1f0c9d8a7b6e5", 4092, 4),
    ]
    projects = client.list_projects_v4(vendor.ListProjectsV4Request(offset=0, limit=1000))
    named = [(project.project_name, project.project_type) for project in projects.projects]
    assert (projects.total, named) == (3, [("demo", "scrum"), ("other", "scrum"), ("Demo 看板", "xboard")])
    user = client.show_cur_user_info(vendor.ShowCurUserInfoRequest())
    assert (user.user_id, user.domain_name) == (OWNER, "demo-account")


def test_projects_and_members_page(client: Any, vendor: Any) -> None:
    """Section 1: offset and limit; totals are those of all pages; an unknown project is refused."""
    pages = [client.list_projects_v4(vendor.ListProjectsV4Request(offset=offset, limit=2)) for offset in (0, 2, 4)]
    assert [[project.project_name for project in page.projects] for page in pages] == [
        ["demo", "other"],
        ["Demo 看板"],
        [],
    ]
    assert {page.total for page in pages} == {3}
    requests = [vendor.ListProjectMembersV4Request(project_id=DEMO, offset=offset, limit=1) for offset in (0, 1, 2)]
    members = [client.list_project_members_v4(request) for request in requests]
    assert [[member.nick_name for member in page.members] for page in members] == [["模块demo"], ["second"], []]
    unknown = vendor.ListProjectMembersV4Request(project_id="f" * 32, offset=0, limit=100)
    assert refusal_of(client.list_project_members_v4, unknown).error_code == "PM.02152005"


def test_the_iam_project_is_found_by_region(vendor: Any, twin_url: str) -> None:
    """Section 6b: with a region and no IAM project the client asks IAM for it while it is built."""
    from huaweicloudsdkcore.auth.credentials import BasicCredentials  # noqa: PLC0415  # after HOME is set
    from huaweicloudsdkcore.region.region import Region  # noqa: PLC0415  # the same

    credentials = BasicCredentials("AKTEST", "SKTEST").with_iam_endpoint(twin_url)
    builder = vendor.ProjectManClient.new_builder().with_credentials(credentials)
    client = builder.with_region(Region("cn-north-4", twin_url)).build()
    assert listed(client, vendor).total == 1
    assert counted(twin_url) == {"list_iam_projects": 1, "list_modules": 1, "tokens_issued": 0}
    assert client._credentials.project_id == "0000000000000000000000000000000a"  # not available elsewhere
