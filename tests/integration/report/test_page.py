import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from task_lab.errors import UsageError
from task_lab.notebook import missing_outputs
from task_lab.report.kinds.throughput import THROUGHPUT
from task_lab.report.render import render_html
from task_lab.report.sections import section_html, sections_of
from task_lab.report.summary import summarise
from task_lab.store import PROJECT, RunFolder

from ...run_folders import FakeRun, write_run

LOADING = {"src", "href", "srcset", "action", "data", "poster", "xlink:href"}


class Page(HTMLParser):
    """What a page would load, and the text a reader sees in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in LOADING]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


def small_run(path: Path, **fields: Any) -> Path:
    return write_run(path, FakeRun(rounds=1, tasks=30, drain_tasks=30, **fields))


def change(folder: Path, name: str, **fields: Any) -> None:
    document = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**document, **fields}))


def test_a16_the_page_loads_nothing_from_anywhere(reported: Path) -> None:
    page = Page(reported / "report.html")
    assert page.tags.count("img") == 10
    assert [
        a[:40] for a in page.addresses if not a.startswith(("data:image/png;base64,", "#"))
    ] == []
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    text = (reported / "report.html").read_text()
    assert "default-src 'none'" in text
    assert re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", re.sub(r"base64,[^\"]+", "", text)) == []


def test_the_verdict_comes_first_then_the_figures_of_every_point(reported: Path) -> None:
    body = (reported / "report.html").read_text().split("<body>")[1]
    assert body.index("✓ PASS") < body.index("end to end, tasks/s") < body.index("<h1")


def test_what_was_found_comes_before_how_it_was_made(reported: Path) -> None:
    report = (reported / "report.html").read_text().split('id="report"')[1]
    found = [report.index(f">{name}<") for name in ("Verdict", "The three rates", "Limits")]
    made = [report.index(f">{name}<") for name in ("Parameters", "How the run is made")]
    assert found == sorted(found)
    assert max(found) < made[0] < made[1]


def test_every_part_of_the_report_is_on_the_page(reported: Path) -> None:
    text = " ".join(Page(reported / "report.html").texts)
    for said in (
        "The three rates",
        "costs processor time only",
        "PromQL rate",
        "Three counts that must agree",
        "every accepted task is terminal",
        "calibration: rate against a stub",
        "Floor code 4f1c09aa",
        "Example CPU @ 2.5 GHz, 2 cores",
        "with 64 in flight",
    ):
        assert said in text
    assert "Not available" not in text


def test_a14_rendering_twice_gives_the_same_bytes(reported: Path) -> None:
    before = (reported / "report.html").read_bytes()
    assert render_html(reported).read_bytes() == before


def test_a17_changed_data_gives_a_changed_page(reported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(reported, tmp_path / reported.name))
    before = (folder / "report.html").read_bytes()
    lines = (folder / "history.jsonl").read_text().splitlines(keepends=True)
    (folder / "history.jsonl").write_text("".join(lines[:-1]))
    summarise(folder)
    text = render_html(folder).read_bytes()
    assert text != before
    assert b"in the ledger, but submitted by nobody" in text


@pytest.mark.parametrize("verdict", ["FAIL", "UNKNOWN", "INVALID", "INTERRUPTED"])
def test_only_a_pass_looks_like_one(tmp_path: Path, verdict: str) -> None:
    folder = small_run(tmp_path / "run", verdict=verdict)
    change(folder, "run.json", reason="counts_agree: <b>3</b> differ")
    text = render_html(folder).read_text()
    assert "✓ PASS" not in text.split("<main>")[0]
    assert '<header class="pass">' not in text
    assert "counts_agree: &lt;b&gt;3&lt;/b&gt; differ" in text


def test_a7_a_run_cut_short_has_a_page_that_says_what_is_missing(tmp_path: Path) -> None:
    folder = small_run(tmp_path / "run", verdict="UNKNOWN", ended="crashed")
    for name in ("tasks.parquet", "checks.json", "load.json"):
        (folder / name).unlink()
    text = render_html(folder).read_text()
    assert "The run ended: crashed." in text
    assert "Not available: the run was not checked" in text
    assert "no summary.json" in text
    assert {"tasks.parquet", "checks.json", "summary.json"} <= set(missing_outputs(folder))


def test_the_executed_copy_gives_the_page_its_errors(tmp_path: Path) -> None:
    folder = small_run(tmp_path / "run", verdict="UNKNOWN")
    notebook = json.loads((PROJECT / "notebooks" / "01_throughput.ipynb").read_text())
    cell = next(c for c in notebook["cells"] if c["cell_type"] == "code")
    trace = ["\x1b[31mValueError\x1b[0m: <no> such thing"]
    cell["outputs"] = [
        {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": trace}
    ]
    (folder / "report.ipynb").write_text(json.dumps(notebook))
    text = render_html(folder).read_text()
    assert "ValueError: &lt;no&gt; such thing" in text
    assert "\x1b" not in text


def test_text_from_a_run_cannot_become_markup(tmp_path: Path) -> None:
    folder = small_run(tmp_path / "run")
    run = RunFolder(folder).run()
    machine = {**run["machine"], "cpu": "<script>alert(1)</script>"}
    change(folder, "run.json", machine=machine, runtime="<i>native</i>")
    page = Page(render_html(folder))
    assert "script" not in page.tags
    assert "i" not in page.tags


def test_a15_a_missing_figure_is_missed(reported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(reported, tmp_path / "run"))
    assert missing_outputs(folder) == ["report.ipynb"]
    (folder / "figures" / "latency.png").unlink()
    assert "figures/latency.png" in missing_outputs(folder)
    assert "latency.png was not drawn" in section_html(folder, "latency")


def test_an_unknown_part_is_refused_with_the_nearest_one(reported: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'latency'"):
        section_html(reported, "latencies")


def test_a_part_that_nobody_tags_would_never_be_seen() -> None:
    notebook = json.loads((PROJECT / "notebooks" / "01_throughput.ipynb").read_text())
    tags = [t for c in notebook["cells"] for t in c["metadata"].get("tags", [])]
    shown = {t.removeprefix("section:") for t in tags if t.startswith("section:")}
    assert shown == set(sections_of(THROUGHPUT)) - {"headline"}
