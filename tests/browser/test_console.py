"""A person uses the console: Chromium, the real gateway and both twins."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import FilePayload, Route, expect

from gateway.domain.operation import State
from gateway.journals import create_journal
from tests.browser.conftest import OpenConsole
from tests.browser.console import Console
from tests.integration.chaos.testbed import TARGETS, GatewayTestbed
from tests.integration.http_client import HttpResponse, send
from tests.unit.journals.records import make_claim, make_settlement

pytestmark = pytest.mark.loopback
PROJECT: Final = str(TARGETS["projectman"]["scope"])
PAGES: Final = ("modules", "batch", "operations", "changes", "connections")


def call(testbed: GatewayTestbed, method: str, path: str, body: object = None) -> HttpResponse:
    """Send a request as another caller does."""
    response = send(testbed.addresses[0], method, path, body)
    assert response.status < 300, response
    return response


def create(testbed: GatewayTestbed, name: str, backend: str = "cmdb") -> dict[str, Any]:
    """Create a module and return it."""
    module: dict[str, Any] = call(
        testbed, "POST", "/modules", {"backend": backend, "name": name, **TARGETS[backend]}
    ).body
    return module


def open_change(console: Console, module: dict[str, Any]) -> None:
    """Open the form that changes a module."""
    console.go(f"#/modules?module={module['id']}")
    console.page.locator("#change").click()


@pytest.mark.parametrize("backend", ["cmdb", "projectman"])
def test_create(open_console: OpenConsole, testbed: GatewayTestbed, backend: str) -> None:
    """The form is drawn from the connection's schema, with its lookups; the module is created once and shown."""
    console, name = open_console(testbed), f"form-{backend}"
    console.show_modules(backend, TARGETS[backend]["scope"])
    console.page.locator("#create").click()
    if backend == "cmdb":
        console.choose("new-parent", "web")
    else:
        console.choose("new-owners", "demo_user_name_06")
        console.page.locator("#new-description").fill("from the form")
    console.page.locator("#new-name").fill(name)
    console.page.locator("#check").click()
    expect(console.success).to_contain_text("would be created")
    assert testbed.created_count(backend, name) == 0
    console.submit()
    expect(console.success).to_contain_text(f"{name} was created")
    expect(console.item(name)).to_have_attribute("aria-selected", "true")
    assert testbed.created_count(backend, name) == 1


def test_errors_at_their_fields(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """All errors of a form are shown at once, each at its field; the first such field has the focus."""
    console = open_console(testbed)
    console.show_modules("cmdb", "1")
    console.page.locator("#create").click()
    for field, text in {"name": "a b", "owners": "ann, !", "attributes-service_category_id": "x"}.items():
        console.page.locator(f"#new-{field}").fill(text)
    console.submit()
    console.expect_error("new-parent", "required")
    console.expect_error("new-name", "'a b'")
    console.expect_error("new-owners", "'!'")
    console.expect_error("new-attributes-service_category_id", "'x'")
    expect(console.page.locator("#new-parent")).to_be_focused()
    expect(console.problem).to_contain_text("nothing was changed")
    expect(console.problem).to_contain_text("Correct the marked fields")
    console.page.locator("#new-name").fill("good")
    expect(console.page.locator("#new-name")).not_to_have_attribute("aria-invalid", "true")


def test_existing_name(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """A name that is taken leads to the module that has it."""
    module = create(testbed, "taken")
    console = open_console(testbed)
    console.show_modules("cmdb", "1")
    console.page.locator("#create").click()
    console.choose("new-parent", "web")
    console.page.locator("#new-name").fill("taken")
    console.submit()
    console.problem.get_by_role("link", name=module["id"]).click()
    expect(console.page.locator(".side h2")).to_have_text("taken")


def test_stale_page(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """A change of a module that another caller has changed shows the other change, and goes on from there."""
    module = create(testbed, "stale")
    console = open_console(testbed)
    open_change(console, module)
    call(testbed, "PATCH", f"/modules/{module['id']}", {"name": "renamed-by-another"})
    console.page.locator("#edit-owners").fill("ann")
    console.submit()
    expect(console.problem).to_contain_text("nothing was changed")
    expect(console.page.locator("table.plain")).to_contain_text("renamed-by-another")
    console.page.locator("#reload").press("Enter")
    expect(console.page.locator("#edit-name")).to_have_value("renamed-by-another")
    console.submit()
    expect(console.success).to_contain_text("was changed")
    now = call(testbed, "GET", f"/modules/{module['id']}").body
    assert (now["name"], [owner["id"] for owner in now["owners"]]) == ("renamed-by-another", ["ann"])


def test_stale_delete(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """A delete of a module that another caller has changed is refused, and works after a reload."""
    module = create(testbed, "doomed")
    console = open_console(testbed, f"/#/modules?module={module['id']}")
    expect(console.page.locator("#delete")).to_be_visible()
    call(testbed, "PATCH", f"/modules/{module['id']}", {"owners": ["ann"]})
    for _attempt in range(2):
        console.page.locator("#delete").click()
        console.page.locator("dialog button.danger").click()
        if _attempt == 0:
            expect(console.page.locator("table.plain")).to_contain_text("ann")
            console.page.locator("#reload").click()
    expect(console.success).to_contain_text("doomed was deleted")
    assert send(testbed.addresses[0], "GET", f"/modules/{module['id']}").status == 404


def test_description_that_cannot_be_read(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """ProjectMan replaces the description with every change: the error stands at its field; it may be emptied."""
    module = create(testbed, "described", "projectman")
    console = open_console(testbed)
    open_change(console, module)
    console.page.locator("#edit-name").fill("described-2")
    console.submit()
    expect(console.page.locator("#edit-description")).to_have_attribute("aria-invalid", "true")
    console.page.locator("#edit-description-replace").check()
    console.submit()
    expect(console.success).to_contain_text("described-2 was changed")


def test_batch(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """Two hundred pasted rows are created once each; the page shows the progress and offers the result as a file."""
    console = open_console(testbed, "/#/batch")
    console.choose("batch-scope", "demo")
    console.choose("batch-parent", "db")
    rows = "\n".join(f'row-{number},batch-{number:03},"ann, bob"' for number in range(200))
    console.page.locator("#rows").fill(f"ref,name,owners\n{rows}")
    console.submit()
    expect(console.page.locator("progress")).to_have_attribute("max", "200")
    console.go("#/connections")  # the batch goes on
    console.go("#/batch")
    expect(console.page.locator("#batch-summary")).to_contain_text("200 / 200 · created: 200", timeout=60_000)
    with console.page.expect_download() as download:
        console.page.get_by_role("button", name="Result as CSV").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 201
    assert re.fullmatch(r'"row-0","batch-000","created","applied","cmdb\.1\.11\.\d+","","","[0-9a-f-]+"', lines[1])
    names = [
        entry["natural_key"][-1] for entry in testbed.created("cmdb") if entry["natural_key"][-1].startswith("batch-")
    ]
    assert len(names) == len(set(names)) == 200


def test_batch_with_errors(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """Refused rows are marked and do not stop the others; children follow their parents, wherever those stand."""
    console = open_console(testbed, "/#/batch")
    console.page.locator("#batch-backend").select_option("projectman")
    common = {"scope": PROJECT, "owners": TARGETS["projectman"]["owners"]}
    rows = [
        {"ref": "child", "parent_ref": "parent", "name": "b-child", **common},
        {"ref": "bad", "name": "b bad!", **common},
        {"ref": "below", "parent_ref": "bad", "name": "b-below", **common},
        {"ref": "parent", "name": "b-parent", **common},
    ]
    content = "\n".join(map(json.dumps, rows)).encode()
    file = FilePayload(name="rows.jsonl", mimeType="application/jsonl", buffer=content)
    console.page.locator("#file").set_input_files([file])
    expect(console.page.locator("#rows")).to_have_value(re.compile("b-parent"))
    console.submit()
    summary = console.page.locator("#batch-summary")
    expect(summary).to_contain_text("created: 2")
    expect(summary).to_contain_text("failed: 1")
    expect(summary).to_contain_text("not started: 1")
    expect(console.page.locator("tbody tr", has_text="b bad!")).to_contain_text("letters, digits")
    modules = call(testbed, "GET", f"/modules?backend=projectman&scope={PROJECT}&page_size=200").body["modules"]
    ids = {module["name"]: module for module in modules}
    assert ids["b-child"]["parent"] == ids["b-parent"]["native_id"]


@pytest.mark.parametrize(
    ("effect", "text"), [("late", "lost-late was created"), ("never", "The module was not created")]
)
def test_unknown_create(open_console: OpenConsole, testbed: GatewayTestbed, effect: str, text: str) -> None:
    """A create without an answer is followed until the gateway knows its outcome."""
    testbed.fault(
        "cmdb",
        {"fault": "drop", "effect": effect, "seconds": 2.0}
        if effect == "late"
        else {"fault": "drop", "effect": effect},
    )
    console = open_console(testbed)
    console.show_modules("cmdb", "1")
    console.page.locator("#create").click()
    console.choose("new-parent", "web")
    console.page.locator("#new-name").fill(f"lost-{effect}")
    console.submit()
    expect(console.problem).to_contain_text("Not known yet")
    expect(console.page.locator(".panel.busy")).to_contain_text("the gateway looks for the module")
    expect(console.page.get_by_text(text).first).to_be_visible(timeout=60_000)
    assert testbed.created_count("cmdb", f"lost-{effect}") == (effect == "late")


def test_answer_lost_on_the_way(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """A create whose answer does not arrive in the browser is sent again with its key, and happens once."""
    console, keys = open_console(testbed), []

    def lose(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 1:
            route.continue_()
        else:
            route.fetch()
            route.abort()

    console.page.route("**/modules", lambda route: lose(route) if route.request.method == "POST" else route.continue_())
    console.show_modules("cmdb", "1")
    console.page.locator("#create").click()
    console.choose("new-parent", "web")
    console.page.locator("#new-name").fill("cut-off")
    console.submit()
    expect(console.success).to_contain_text("cut-off was created")
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert testbed.created_count("cmdb", "cut-off") == 1


def test_unknown_change(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """A change whose answer is lost is followed until the module shows it."""
    module = create(testbed, "to-change")
    testbed.twin("cmdb", "POST", "faults", [{"operation": "update", "fault": "drop", "effect": "late", "seconds": 1.0}])
    console = open_console(testbed)
    open_change(console, module)
    console.page.locator("#edit-owners").fill("ann")
    console.submit()
    expect(console.success).to_contain_text("to-change was changed")


def ambiguous_operation(testbed: GatewayTestbed, module: dict[str, Any]) -> str:
    """Record a create that could have made this module, and whose outcome is ambiguous; return its id."""
    draft = {
        "scope": "1",
        "parent": "10",
        "name": module["name"],
        "owners": ["admin"],
        "attributes": {},
        "description": None,
    }
    now = time.time()
    claim = make_claim(
        id=f"ambiguous-{module['native_id']}", backend="cmdb", natural_key=("1", "10", module["name"]),
        caller="anonymous", draft={"draft": draft}, claimed_at=now, lease_until=now + 1, dedup_until=None,
        settle_seconds=1.0,
    )  # fmt: skip
    evidence = {"at": now, "what": "lookup", "hits": [module["native_id"]], "confidence": "low"}
    with closing(create_journal(testbed.journal_url)) as journal:
        journal.claim(claim)
        journal.settle(claim.id, make_settlement(State.AMBIGUOUS, at=now, evidence=evidence))
    return claim.id


def test_resolve(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """An operator finds an ambiguous create by its state, sees the evidence, and settles it with a reason."""
    module = create(testbed, "twice-there")
    operation = ambiguous_operation(testbed, module)
    console = open_console(testbed, "/#/operations")
    console.page.locator("#state").select_option("ambiguous")
    console.page.get_by_role("link", name="twice-there").click()
    expect(console.page.locator(".evidence")).to_contain_text(module["native_id"])
    expect(console.page.locator("#candidate")).to_have_value(module["id"])
    console.submit()
    expect(console.problem).to_contain_text("/reason")
    console.page.locator("#reason").fill("The owner has confirmed it.")
    console.submit()
    expect(console.page.locator(".evidence")).to_contain_text("The owner has confirmed it.")
    expect(console.page.locator(".panel").first).to_contain_text("succeeded")
    assert call(testbed, "GET", f"/operations/{operation}").body["module"]["id"] == module["id"]


def test_live_changes(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """A change in one window appears in another without a reload, and is announced."""
    module = create(testbed, "watched")
    watcher, editor = open_console(testbed, "/#/changes"), open_console(testbed)
    expect(watcher.page.locator(".changes li").first).to_contain_text("watched")
    open_change(editor, module)
    editor.page.locator("#edit-name").fill("seen-live")
    editor.submit()
    expect(watcher.page.locator(".changes li").first).to_contain_text("watched → seen-live")
    expect(watcher.page.locator("#live")).to_contain_text("new changes")


def test_keyboard(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """Skip link, search, tree, change and delete work by keyboard alone, and the focus goes with them."""
    create(testbed, "by-keyboard")
    console = open_console(testbed)
    console.show_modules("cmdb", "1")
    press, page = console.page.keyboard.press, console.page

    def tab_to(selector: str) -> None:
        for _press in range(30):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            press("Tab")
        pytest.fail(f"Tab does not reach {selector}")

    page.reload()
    expect(console.item("by-keyboard")).to_be_visible()
    press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    press("Enter")
    expect(page.locator("main")).to_be_focused()
    tab_to("#search")
    page.keyboard.type("by-key")
    tab_to("[role=tree]")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press("End")
    press("Enter")
    expect(page.locator(".side h2")).to_be_focused()
    tab_to("#change")
    press("Enter")
    tab_to("#edit-owners")
    page.keyboard.type(", ann")
    press("Enter")
    expect(console.success).to_contain_text("by-keyboard was changed")
    tab_to("#delete")
    press("Enter")
    press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator("#delete")).to_be_focused()
    press("Enter")
    press("Enter")
    expect(console.success).to_contain_text("by-keyboard was deleted")


def test_hostile_names(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """Names with markup, marks that reverse text, and of 256 bytes are shown as they are, and do nothing."""
    names = ("<img src=x onerror=alert(1)>", "\u202egnp.exe")
    for number, name in enumerate(names):
        module = create(testbed, f"hostile-{number}", "projectman")
        call(testbed, "PATCH", f"/modules/{module['id']}", {"name": name, "description": None})
    long = create(testbed, "长" * 85 + "x")
    console = open_console(testbed, viewport={"width": 360, "height": 800})
    console.page.on("dialog", lambda _dialog: pytest.fail("a script of a name has run"))
    console.show_modules("projectman", PROJECT)
    console.page.locator("#search").fill("<img")
    console.item(names[0]).click()
    expect(console.page.locator(".side h2")).to_have_text(names[0])
    console.page.locator("#search").fill("gnp")
    expect(console.page.locator("[role=treeitem] .mark")).to_have_text("U+202E")
    for path in (f"modules?module={long['id']}", "operations", "changes"):
        console.go(f"#/{path}")
        expect(console.page.get_by_text(long["name"]).first).to_be_attached()
        assert console.width() == 360
    console.go("#/changes")
    expect(console.page.get_by_text(names[0]).first).to_be_visible()
    assert console.page.locator("main img").count() == 0


@pytest.mark.parametrize("page", PAGES)
def test_narrow(open_console: OpenConsole, testbed: GatewayTestbed, page: str) -> None:
    """At 360 pixels no page scrolls sideways, in both languages."""
    create(testbed, f"narrow-{page}")
    for locale in ("en-US", "zh-CN"):
        console = open_console(testbed, f"/#/{page}", viewport={"width": 360, "height": 800}, locale=locale)
        expect(console.page.locator("main .count, main form, main table").first).to_be_visible()
        assert console.width() == 360
        if page == "modules":
            console.page.locator("#create").click()
            assert console.width() == 360


def test_chinese(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """The page is in the browser's language or in the chosen one; the texts of problems come from the API."""
    console = open_console(testbed, locale="zh-CN")
    expect(console.page.locator("h1")).to_have_text("模块")
    assert console.page.evaluate("document.documentElement.lang") == "zh-Hans"
    console.page.locator("#create").click()
    console.submit()
    expect(console.problem).to_contain_text("请求不符合规则")
    expect(console.problem).to_contain_text("未作任何更改")
    console.page.locator("#language").select_option("en")
    expect(console.page.locator("h1")).to_have_text("Modules")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(open_console: OpenConsole, testbed: GatewayTestbed, axe: str, scheme: str) -> None:
    """axe-core finds nothing on any page, nor in a form with errors, an open lookup, a dialog and a resolve form."""
    module = create(testbed, f"axe-{scheme}")
    operation = ambiguous_operation(testbed, module)
    console = open_console(testbed, color_scheme=scheme)
    page = console.page

    def check(place: str) -> None:
        page.wait_for_timeout(300)  # transitions of the browser's own controls
        page.evaluate(f"() => {{ if (!window.axe) {{ {axe} }} }}")
        found = page.evaluate(
            "async () => (await axe.run()).violations.map(v => [v.id, v.impact, v.nodes.map(n => n.html)])"
        )
        assert found == [], place

    for path in (*PAGES, f"modules?module={module['id']}", f"operations/{operation}"):
        console.go(f"#/{path}")
        expect(page.locator("main .count, main form, main table").first).to_be_visible()
        check(path)
    console.show_modules("cmdb", "1")
    page.locator("#create").click()
    console.submit()
    expect(console.problem).to_be_visible()
    page.locator("#new-parent").click()
    expect(page.locator("#new-parent-list [role=option]").first).to_be_visible()
    check("form")
    page.locator("#key").click()
    check("dialog")


def test_ten_thousand_modules(open_console: OpenConsole, testbed: GatewayTestbed) -> None:
    """Only the visible rows of ten thousand modules are in the document; keys reach the last, a search finds one."""
    module = create(testbed, "template")

    def page_of(route: Route) -> None:
        start = int(re.search(r"page_token=(\d+)|$", route.request.url)[1] or 0)  # type: ignore[index]
        modules = [
            {**module, "id": f"cmdb.1.10.{number}", "native_id": f"{number}", "name": f"many-{number:05}"}
            for number in range(start, start + 200)
        ]
        token = str(start + 200) if start < 9800 else None
        route.fulfill(json={"modules": modules, "next_page_token": token})

    console = open_console(testbed, "/#/connections")
    console.page.route("**/modules?*", page_of)
    console.go("#/modules?backend=cmdb&scope=1")
    expect(console.page.locator(".list .count")).to_have_text("10000 modules", timeout=60_000)
    tree = console.page.locator("[role=tree]")
    tree.press("End")
    for name in ("many-09999", "many-04711"):
        if name == "many-04711":
            console.page.locator("#search").fill("04711")
        expect(console.item(name)).to_be_visible()
        assert console.page.locator("[role=treeitem]").count() < 60
