"""The contents of a report, from its own headings."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from task_lab.report.outline import CONTENTS, with_contents


def page(*parts: str) -> str:
    return f"<body><main>{CONTENTS}{''.join(parts)}</main></body>"


def contents(text: str) -> str:
    return text.split("<nav", 1)[1].split("</nav>")[0]


def test_headings_get_ids_and_the_contents_lead_to_them() -> None:
    text = with_contents(page("<h2>One & two</h2>", '<h2 id="given">Three <em>3</em></h2>'))
    assert '<h2 id="One-two">' in text
    assert '<h2 id="given">Three <em>3</em></h2>' in text
    assert '<a href="#given">Three 3</a>' in contents(text)
    assert '<a href="#One-two">One &amp; two</a>' in contents(text)


def test_equal_headings_are_told_apart_and_the_notebooks_anchors_go() -> None:
    anchor = '<a class="anchor-link" href="#Why">&#182;</a>'
    text = with_contents(page(f'<h2 id="Why">Why{anchor}</h2>', f'<h2 id="Why">Why{anchor}</h2>'))
    assert re.findall(r'<h2 id="([^"]+)">Why</h2>', text) == ["Why", "Why-2"]
    assert "anchor-link" not in text


def test_a_heading_of_level_three_is_listed_inside_its_two() -> None:
    text = with_contents(page("<h2>a</h2>", "<h3>b</h3>", "<h3>c</h3>", "<h2>d</h2>"))
    plain = re.sub(r' (href|class|aria-label)="[^"]*"', "", contents(text))
    assert plain.endswith(
        "<ol><li><a>a</a><ol><li><a>b</a></li><li><a>c</a></li></ol></li><li><a>d</a></li></ol>"
    )


def test_a_page_of_one_heading_needs_no_contents() -> None:
    text = with_contents(page("<h1>Title</h1><h2>Only</h2>"))
    assert "<nav" not in text
    assert CONTENTS not in text


def test_tables_are_focusable_and_named_after_their_heading() -> None:
    table = '<div class="table"><table>\n<tr><td>1</td></tr></table></div>'
    bare = "<table>\n<tr><td>2</td></tr>\n</table>"
    text = with_contents(page(table, "<h2>Rates</h2>", table, bare))
    names = re.findall(
        r'<div class="table" role="group" tabindex="0" aria-label="([^"]+)"><table>', text
    )
    assert names == ["Table: Key figures", "Table: Rates", "Table 2: Rates"]
    assert text.count("<div") == text.count("</div>") == 3


def test_what_is_above_the_main_part_is_left_alone() -> None:
    assert with_contents("<header><h2>x</h2></header><main></main>").startswith(
        "<header><h2>x</h2></header>"
    )


@given(st.lists(st.sampled_from("123"), max_size=12))
def test_any_order_of_levels_makes_lists_that_close(levels: list[str]) -> None:
    text = with_contents(page(*[f"<h{n}>t{i}</h{n}>" for i, n in enumerate(levels)]))
    for tag in ("ol", "li", "nav"):
        assert len(re.findall(f"<{tag}[ >]", text)) == text.count(f"</{tag}>")
    listed = sum(level != "1" for level in levels)
    assert text.count("<li>") == (listed if listed > 1 else 0)
