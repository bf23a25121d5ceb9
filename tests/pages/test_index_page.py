"""The index in a real browser: sorting, filtering, links to what was chosen, the plots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect
from task_lab.report.index import rebuild_index

from .browser import Pages, is_wider_than_its_window
from .index_runs import IndexRun, headline, points, several, write_all

RUNS = {run.number: run for run in several()}
NEWEST_FIRST = sorted(RUNS, reverse=True)


def shown(page: Page) -> list[int]:
    """The numbers of the runs in the table, from above."""
    names = page.locator("#runs tbody tr:visible th").all_inner_texts()
    return [int(name.split("-")[1], 16) for name in names]


def sorting(page: Page, title: str) -> Locator:
    return page.get_by_role("columnheader", name=title)


def chooser(page: Page, name: str) -> Locator:
    return page.get_by_role("combobox", name=name, exact=True)


def fragment(page: Page) -> str:
    return page.url.partition("#")[2]


def test_every_run_is_there_the_newest_first(index: Path, pages: Pages) -> None:
    page = pages.open(index)
    assert shown(page) == NEWEST_FIRST
    expect(sorting(page, "started")).to_have_attribute("aria-sort", "descending")
    expect(page.get_by_role("status")).to_have_text("all 12 runs")


def test_a_click_sorts_and_another_turns_it_round(index: Path, pages: Pages) -> None:
    page = pages.open(index)
    columns: dict[str, Callable[[IndexRun], str | int]] = {
        "run": lambda run: run.name,
        "experiment": lambda run: run.experiment,
        "started": lambda run: run.number,
        "commit": lambda run: run.number,
        "machine": lambda run: run.machine,
    }
    for title, value in columns.items():
        directions = []
        for _ in range(2):
            sorting(page, title).get_by_role("button").click()
            directions.append(sorting(page, title).get_attribute("aria-sort"))
            values = [value(RUNS[number]) for number in shown(page)]
            assert values == sorted(values, reverse=directions[-1] == "descending"), title
        assert sorted(map(str, directions)) == ["ascending", "descending"]
        assert page.locator("[aria-sort]").count() == 1


def test_what_was_found_sorts_by_its_number_and_nothing_comes_last(
    index: Path, pages: Pages
) -> None:
    page = pages.open(index)
    button = sorting(page, "what it found").get_by_role("button")
    button.click()
    assert shown(page)[:3] == [11, 10, 5]
    assert set(shown(page)[-2:]) == {21, 22}
    button.click()
    assert shown(page)[:3] == [20, 30, 1]
    assert set(shown(page)[-2:]) == {21, 22}


def test_a_key_sorts(index: Path, pages: Pages) -> None:
    page = pages.open(index)
    sorting(page, "verdict").get_by_role("button").focus()
    page.keyboard.press("Enter")
    verdicts = [RUNS[number].verdict for number in shown(page)]
    assert verdicts == ["PASS"] * 8 + ["FAIL", "UNKNOWN", "INVALID", "INTERRUPTED"]
    expect(sorting(page, "verdict")).to_have_attribute("aria-sort", "ascending")
    page.keyboard.press("Space")
    assert RUNS[shown(page)[0]].verdict == "INTERRUPTED"
    expect(sorting(page, "verdict")).to_have_attribute("aria-sort", "descending")


def test_a_filter_leaves_what_is_like_it(index: Path, pages: Pages) -> None:
    page = pages.open(index)
    for name, value, left in (
        ("Experiment", "faults", [22, 21, 20]),
        ("Verdict", "FAIL", [4]),
        ("Machine", "d4e5f6", [11, 10]),
        ("Search", "counts_agree", [4]),
        ("Search", "other cpu  SUM", [11, 10]),
        ("Search", "0000003", [3]),
    ):
        if name == "Search":
            page.get_by_label(name).press_sequentially(value)
        else:
            chooser(page, name).select_option(value)
        assert shown(page) == left
        expect(page.get_by_role("status")).to_have_text(f"{len(left)} of 12 runs")
        page.get_by_role("button", name="Show all").click()
        assert shown(page) == NEWEST_FIRST
        assert fragment(page) == ""


def test_the_plots_follow_the_filters(index: Path, pages: Pages) -> None:
    page = pages.open(index)
    assert page.locator(".group:visible").count() == 4
    chooser(page, "Machine").select_option("a1b2c3")
    chooser(page, "Experiment").select_option("throughput")
    assert page.locator(".group:visible h3").all_inner_texts() == [
        "throughput on Example CPU, 2 cores a1b2c3, 6 runs"
    ]
    chooser(page, "Verdict").select_option("FAIL")
    plot = page.locator(".group:visible .plot").first
    assert plot.locator(".mark").count() == 6
    assert plot.locator(".mark:not(.out)").get_attribute("data-run") == RUNS[4].id


def test_nothing_left_is_said_and_can_be_undone(index: Path, pages: Pages) -> None:
    page = pages.open(index, "#q=nowhere")
    assert shown(page) == []
    expect(page.get_by_text("No run is like that.")).to_be_visible()
    page.locator("#none button").click()
    assert shown(page) == NEWEST_FIRST
    expect(page.get_by_label("Search")).to_be_focused()


def test_a_link_to_what_was_chosen_shows_the_same_again(index: Path, pages: Pages) -> None:
    page = pages.open(index)
    chooser(page, "Experiment").select_option("throughput")
    page.get_by_label("Search").fill("example cpu")
    page.get_by_role("button", name="what it found").click()
    chosen = shown(page)
    assert chosen == [5, 3, 2, 0, 4, 1]
    again = pages.open(index, f"#{fragment(page)}")
    assert shown(again) == chosen
    expect(again.get_by_label("Search")).to_have_value("example cpu")
    expect(sorting(again, "what it found")).to_have_attribute("aria-sort", "descending")


def test_a_link_inside_the_page_that_is_open_is_followed_too(index: Path, pages: Pages) -> None:
    page = pages.open(index)
    page.evaluate("location.hash = 'verdict=FAIL&sort=run'")
    expect(page.get_by_role("status")).to_have_text("1 of 12 runs")
    page.evaluate("location.hash = ''")
    expect(page.get_by_role("status")).to_have_text("all 12 runs")


def test_a_link_to_what_is_not_there_is_not_answered_with_all(index: Path, pages: Pages) -> None:
    page = pages.open(index, "#machine=gone")
    assert shown(page) == []
    for text in ("experiment=<b>no</b>&verdict=NEVER", "q=%&machine=%E0%A4%A&sort=-"):
        page.evaluate("hash => { location.hash = hash }", text)
        expect(page.get_by_role("status")).to_have_text("0 of 12 runs")


def test_a_link_that_means_nothing_shows_all(index: Path, pages: Pages) -> None:
    page = pages.open(index, "#%")
    for text in ("sort=nothing", "unknown=1", "nowhere", ""):
        assert shown(page) == NEWEST_FIRST
        page.evaluate("hash => { location.hash = hash }", text)
    assert shown(page) == NEWEST_FIRST


def test_a_link_to_a_run_shows_its_line_whatever_was_filtered(index: Path, pages: Pages) -> None:
    page = pages.open(index, "#verdict=FAIL")
    page.evaluate("hash => { location.hash = hash }", quote(RUNS[0].id))
    expect(page.locator("tr:target")).to_be_in_viewport()
    assert shown(page) == NEWEST_FIRST


def test_the_table_can_be_skipped_to_without_losing_what_was_chosen(
    index: Path, pages: Pages
) -> None:
    page = pages.open(index, "#verdict=PASS")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the table")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#runs")).to_be_focused()
    assert fragment(page) == "verdict=PASS"


def test_only_runs_that_passed_and_were_asked_the_same_are_joined(
    index: Path, pages: Pages
) -> None:
    page = pages.open(index, "#experiment=throughput&machine=a1b2c3")
    plot = page.locator(".group:visible .plot").first
    kinds = [mark.get_attribute("class") for mark in plot.locator(".mark").all()]
    assert kinds == [
        "mark pass", "mark pass rare", "mark pass", "mark pass", "mark fail", "mark pass",
    ]  # fmt: skip
    (line,) = plot.locator("polyline").all()
    assert len((line.get_attribute("points") or "").split()) == 4
    assert plot.locator(".mark .dirty").count() == 1
    expect(plot.locator("figcaption")).to_contain_text("3,100 tasks/s")


def test_no_line_of_a_plot_comes_from_two_machines(index: Path, pages: Pages) -> None:
    page = pages.open(index)
    machines = {run.id: run.machine for run in RUNS.values()}
    for group in page.locator(".group").all():
        runs = [mark.get_attribute("data-run") or "" for mark in group.locator(".mark").all()]
        assert {machines[run] for run in runs} <= {group.get_attribute("data-machine")}


def test_a_mark_tells_its_run_to_keys_and_pointer_and_leads_to_the_report(
    index: Path, pages: Pages
) -> None:
    page = pages.open(index, "#experiment=throughput&machine=a1b2c3")
    plot = page.locator(".group:visible .plot").first
    marks, readout = plot.locator(".mark"), plot.locator(".readout")
    expect(readout).to_have_text("higher is better")
    marks.nth(5).focus()
    expect(readout).to_contain_text(RUNS[5].name)
    for key, number in (("ArrowLeft", 4), ("Home", 0), ("ArrowLeft", 0), ("End", 5)):
        page.keyboard.press(key)
        expect(marks.nth(number)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    for said in ("2,700 tasks/s", "FAIL", "2026-01-06 03:04", "commit 0000004", RUNS[4].name):
        expect(readout).to_contain_text(said)
    marks.nth(2).hover()
    expect(readout).to_contain_text("uncommitted changes")
    marks.nth(1).hover()
    expect(readout).to_contain_text("asked: tasks = 200")
    marks.nth(5).click()
    expect(page).to_have_title("A report")


def test_without_scripts_all_is_there(index: Path, pages: Pages) -> None:
    page = pages.open(index, "#verdict=FAIL", scripts=False)
    expect(page.locator("#filters")).to_be_hidden()
    assert shown(page) == NEWEST_FIRST
    assert page.locator(".plot svg:visible").count() == 4
    mark = page.locator(".mark").first
    assert (mark.get_attribute("href") or "").endswith("/report.html")
    assert "commit" in (mark.locator("title").text_content() or "")
    assert page.locator("#runs thead button").count() == 0


def test_the_content_policy_stops_what_is_not_ours(index: Path, pages: Pages) -> None:
    page = pages.open(index)
    page.evaluate(
        """() => {
          window.violations = [];
          addEventListener("securitypolicyviolation", (e) => violations.push(e.effectiveDirective));
          const image = document.createElement("img");
          image.src = "x.png";
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          const style = document.createElement("p");
          style.setAttribute("style", "color: red");
          document.body.append(image, script, style);
        }"""
    )
    page.wait_for_function("violations.length == 3")
    assert page.evaluate("[violations.sort().join(), window.ran ?? null]") == [
        "img-src,script-src-elem,style-src-attr",
        None,
    ]
    assert len(pages.witness.complaints) >= 3
    pages.witness.complaints.clear()


def test_text_from_runs_is_text(tmp_path: Path, pages: Pages) -> None:
    hostile = (
        """</script></style>"'><img src=x onerror="window.ran=1"><script>window.ran=1</script>"""
    )
    figure = headline((hostile, 1.0, hostile, hostile))
    runs = [
        IndexRun(i, verdict=verdict, reason=hostile, asked={hostile: hostile}, summary=figure)
        for i, verdict in enumerate(("PASS", "FAIL", hostile))
    ]
    write_all(tmp_path, runs)
    odd = tmp_path / "javascript:alert(1)" / """a"b'c#d?e=f%20<i>"""
    odd.mkdir(parents=True)
    (odd / "run.json").write_text('{"verdict": "PASS"}')
    (odd / "report.html").write_text("<title>The odd one</title>")
    page = pages.open(rebuild_index(tmp_path))
    assert page.locator("img, i, iframe").count() == 0
    assert page.locator("script").count() == 1
    assert page.evaluate("window.ran ?? null") is None
    assert page.locator("#runs tbody tr").count() == 4
    page.get_by_role("link", name="a\"b'c#d?e=f%20<i>").click()
    expect(page).to_have_title("The odd one")


def test_no_runs_are_a_page_too(tmp_path: Path, pages: Pages) -> None:
    page = pages.open(rebuild_index(tmp_path))
    expect(page.get_by_text("There is no run yet.")).to_be_visible()
    assert not is_wider_than_its_window(page)


def test_a_thousand_runs_are_sorted_and_filtered_at_once(tmp_path: Path, pages: Pages) -> None:
    runs = [IndexRun(i, summary=points(sum_1=2000.0 + i % 97, sum_3=i)) for i in range(1000)]
    write_all(tmp_path, runs)
    path = rebuild_index(tmp_path)
    assert path.stat().st_size < 2_000_000
    page = pages.open(path)
    took_ms = page.evaluate(
        """() => {
          const begun = performance.now();
          document.querySelector("th[data-key=found] button").click();
          const search = document.querySelector("[name=q]");
          search.value = "2,096";
          search.dispatchEvent(new Event("input", { bubbles: true }));
          document.body.getBoundingClientRect();
          return performance.now() - begun;
        }"""
    )
    assert shown(page) == list(range(96, 1000, 97))[::-1]
    # A tenth of a second where the machine has time.
    assert took_ms < 1500
    expect(page.locator(".readout").first).to_contain_text("the latest 80 of 1,000 runs")
