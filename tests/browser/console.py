"""What a person does on the console's pages."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect


class Console:
    """A window with the console."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def go(self, path: str) -> None:
        """Open a page by its address, as a link does."""
        self.page.evaluate("path => { location.hash = path }", path)
        expect(self.page.locator("main h1")).to_be_visible()

    def show_modules(self, backend: str, scope: str) -> None:
        """Open the modules of a scope, and wait until they are read."""
        self.go(f"#/modules?backend={backend}&scope={scope}")
        expect(self.page.locator(".list .count")).to_contain_text("modules")

    def choose(self, field: str, text: str) -> None:
        """Type into a field with a lookup, and take the first choice by keyboard."""
        box = self.page.locator(f"#{field}")
        box.fill(text)
        option = self.page.locator(f"#{field}-list [role=option]:not([aria-disabled])").first
        expect(option).to_contain_text(text)
        box.press("ArrowDown")
        box.press("Enter")

    def submit(self) -> None:
        """Press the main button of the form."""
        self.page.locator("main form button[type=submit]").click()

    def item(self, name: str) -> Locator:
        """Return the row of the tree with this name."""
        return self.page.locator("[role=treeitem]", has=self.page.get_by_text(name, exact=True))

    @property
    def success(self) -> Locator:
        """The panel of a request that was successful."""
        return self.page.locator(".panel.success")

    @property
    def problem(self) -> Locator:
        """The panel of a failure."""
        return self.page.locator(".panel.problem")

    def expect_error(self, field: str, text: str) -> None:
        """Expect a field to be marked as invalid, and its description to say why."""
        box = self.page.locator(f"#{field}")
        expect(box).to_have_attribute("aria-invalid", "true")
        expect(self.page.locator(f"#{field}-error")).to_contain_text(text)

    def width(self) -> int:
        """Return the width of the document, in pixels: more than the window's means that it scrolls sideways."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth")
        return width
