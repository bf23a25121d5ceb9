"""Both pages for all who read them: by key, by ear, on a phone, in the dark and on paper."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from .browser import Pages, is_wider_than_its_window
from .contrast import hard_to_read

pytestmark = pytest.mark.slow

# Looked at below, in every text and both colour schemes, in a tenth of the time.
ALL_BUT_CONTRAST = {
    "resultTypes": ["violations"],
    "rules": {"color-contrast": {"enabled": False}},
}
FOCUSABLE = """
() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex]")]
  .filter((e) => e.tabIndex >= 0 && e.checkVisibility({ visibilityProperty: true }))
  .map((e, i) => { e.dataset.stop = i; return i; })
"""
FOCUSED = """
() => {
  const e = document.activeElement;
  const ring = e.querySelector?.(":scope > .hit") ?? e;
  const style = getComputedStyle(ring);
  const seen = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2)
    || (ring !== e && style.stroke !== "none" && parseFloat(style.strokeWidth) >= 2);
  return { stop: Number(e.dataset.stop), seen, what: e.outerHTML.slice(0, 90) };
}
"""


@pytest.fixture(params=["index", "report"])
def page_of(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.mark.parametrize("width", [320, 1300])
def test_axe_finds_nothing(page_of: Path, pages: Pages, width: int) -> None:
    found = Axe().run(pages.open(page_of, width=width), options=ALL_BUT_CONTRAST)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(page_of: Path, pages: Pages, scheme: str) -> None:
    assert hard_to_read(pages.open(page_of, scheme=scheme)) == []


def test_dark_is_dark_and_paper_is_white(page_of: Path, pages: Pages) -> None:
    page = pages.open(page_of, scheme="dark")
    assert brightness(page) < 40
    page.emulate_media(media="print")
    assert brightness(page) == 255
    assert hard_to_read(page) == []


def brightness(page: Page) -> float:
    """Of the page's background, 0 to 255."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(value) for value in re.findall(r"\d+", colour)[:3]]
    return sum(channels) / 3


def test_the_page_never_scrolls_sideways(page_of: Path, pages: Pages) -> None:
    page = pages.open(page_of)
    for width in (320, 480, 700, 840, 1000, 1279, 1300, 1900):
        page.set_viewport_size({"width": width, "height": 800})
        assert not is_wider_than_its_window(page), width


def test_the_tab_key_reaches_all_in_order_and_shows_where_it_is(
    page_of: Path, pages: Pages
) -> None:
    page = pages.open(page_of)
    stops = page.evaluate(FOCUSABLE)
    assert len(stops) > 15
    reached: list[dict[str, Any]] = []
    for _ in stops:
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED))
    assert [stop["stop"] for stop in reached] == stops
    assert [stop["what"] for stop in reached if not stop["seen"]] == []


def test_it_prints(page_of: Path, pages: Pages) -> None:
    pdf = pages.open(page_of, scheme="dark").pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF-")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 20
