"""A report in a real browser: its contents, its figures, its tables on a narrow screen."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from .browser import Pages


def test_the_contents_name_every_heading_and_lead_to_it(report: Path, pages: Pages) -> None:
    page = pages.open(report)
    links = page.get_by_role("navigation", name="Contents").get_by_role("link")
    headings = page.locator("main :is(h2, h3)")
    assert links.all_inner_texts() == headings.all_inner_texts()
    assert links.count() > 10
    for number in (3, links.count() - 1):
        links.nth(number).click()
        expect(headings.nth(number)).to_be_in_viewport()
        assert page.locator(":target").inner_text() == headings.nth(number).inner_text()


def test_the_contents_stay_in_sight_on_a_wide_screen(report: Path, pages: Pages) -> None:
    page = pages.open(report)
    contents = page.get_by_role("navigation", name="Contents")
    page.evaluate("scrollTo(0, 3000)")
    expect(contents).to_be_in_viewport()
    page.set_viewport_size({"width": 800, "height": 800})
    page.evaluate("scrollTo(0, 3000)")
    expect(contents).not_to_be_in_viewport()


def test_the_contents_can_be_skipped(report: Path, pages: Pages) -> None:
    page = pages.open(report)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the report")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('#report').contains(document.activeElement)")


def test_a_wide_table_scrolls_by_key_inside_itself(report: Path, pages: Pages) -> None:
    page = pages.open(report, width=320)
    table = page.get_by_role("group", name="Table: Key figures")
    table.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")


def test_every_table_has_a_name_of_its_own(report: Path, pages: Pages) -> None:
    page = pages.open(report)
    names = [t.get_attribute("aria-label") for t in page.locator(".table").all()]
    assert len(names) == page.locator("table").count() > 5
    assert len(set(names)) == len(names)


def test_a_figure_says_what_it_is_and_stands_on_white_in_the_dark(
    report: Path, pages: Pages
) -> None:
    page = pages.open(report, scheme="dark")
    figures = page.get_by_role("img")
    assert figures.count() == 10
    for figure in figures.all():
        assert (figure.get_attribute("alt") or "").startswith("Plot of ")
        assert figure.evaluate("e => e.complete && e.naturalWidth > 500")
        background = figure.evaluate("e => getComputedStyle(e).backgroundColor")
        assert background == "rgb(255, 255, 255)"


def test_code_is_folded_until_it_is_asked_for(report: Path, pages: Pages) -> None:
    page = pages.open(report)
    expect(page.locator("details[open]")).to_have_count(0)
    fold = page.locator("details").first
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(fold.locator("pre")).to_be_visible()


def test_paper_has_neither_code_nor_contents(report: Path, pages: Pages) -> None:
    page = pages.open(report)
    page.emulate_media(media="print")
    for hidden in ("details", ".contents", ".skip"):
        assert page.locator(f"{hidden}:visible").count() == 0
    assert page.locator("figure").first.evaluate("e => getComputedStyle(e).breakInside") == "avoid"
