"""A real browser for the tests of the pages, and what it says of a page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, headless. Without one: fails in CI, skips the tests elsewhere."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        reason = "Chromium is missing: experiments/install_chromium.sh installs it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    # Its sandbox refuses to start as root, and containers often forbid it to others too. It would
    # protect against foreign pages; these are our own, and load nothing.
    arguments = ["--no-sandbox"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Witness:
    """What a page asked for and complained of while it was open."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        # Violations of the content policy are told on the console too.
        page.on("console", lambda message: self.complaints.append(message.text))


@dataclass
class Pages:
    """Opens pages from files, each in a context of its own, and hears what they do."""

    browser: Browser
    witness: Witness = field(default_factory=Witness)

    def open(
        self,
        path: Path,
        fragment: str = "",
        *,
        width: int = 1300,
        scheme: Any = "light",
        scripts: bool = True,
    ) -> Page:
        context = self.browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            java_script_enabled=scripts,
        )
        page = context.new_page()
        page.set_default_timeout(10_000)
        self.witness.watch(page)
        page.goto(path.as_uri() + fragment)
        return page

    def close(self) -> None:
        for context in self.browser.contexts:
            context.close()


def is_wider_than_its_window(page: Page) -> bool:
    """Whether the page as a whole would have to be scrolled sideways."""
    return bool(
        page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    )
