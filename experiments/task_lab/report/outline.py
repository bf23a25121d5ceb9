"""What lets a reader move about a report: contents from its headings, tables that scroll by key.

Pure text to text. It reads the HTML that this package and the notebook's Markdown make, in which
headings and tables are never nested; a page of any other make is not its concern.
"""

import re
from collections import Counter
from dataclasses import dataclass
from html import escape, unescape

CONTENTS = "<!-- contents -->"
_PARTS = re.compile(
    r"<h(?P<level>[123])(?P<attributes>[^>]*)>(?P<title>.*?)</h(?P=level)>"
    r'|(?:<div class="table">)?(?P<table><table.*?</table>)(?:</div>)?',
    re.DOTALL,
)
_ANCHOR = re.compile(r'<a class="anchor-link".*?</a>', re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_ID = re.compile(r'\bid="([^"]*)"')


@dataclass(frozen=True)
class Heading:
    """A heading of level 2 or 3. The id is escaped, the title is plain text."""

    level: int
    id: str
    title: str


def with_contents(page: str) -> str:
    """The page with ids on its headings, focusable tables, and its contents where CONTENTS stands.

    A table is named after the heading it stands under, and where it is in the order of those.
    """
    headings: list[Heading] = []
    ids: Counter[str] = Counter()
    tables: Counter[str] = Counter()
    under = "Key figures"

    def part(found: re.Match[str]) -> str:
        nonlocal under
        if table := found["table"]:
            tables[under] += 1
            number = f" {tables[under]}" if tables[under] > 1 else ""
            label = escape(f"Table{number}: {under}")
            return (
                f'<div class="table" role="group" tabindex="0" aria-label="{label}">{table}</div>'
            )
        level, inner = int(found["level"]), _ANCHOR.sub("", found["title"])
        under = " ".join(unescape(_TAG.sub("", inner)).split())
        given = _ID.search(found["attributes"])
        name = given[1] if given else _slug(under)
        ids[name] += 1
        name = name if ids[name] == 1 else f"{name}-{ids[name]}"
        if level > 1:
            headings.append(Heading(level, name, under))
        return f'<h{level} id="{name}">{inner}</h{level}>'

    start = page.find("<main>")
    text = page[:start] + _PARTS.sub(part, page[start:])
    return text.replace(CONTENTS, _nav(headings), 1)


def _nav(headings: list[Heading]) -> str:
    """The contents, those of level 3 inside their 2; nothing for fewer than two headings."""
    if len(headings) < 2:
        return ""
    lines, inside = [], False
    for number, heading in enumerate(headings):
        deeper = heading.level == 3 and number > 0
        if deeper != inside:
            lines.append("<ol>" if deeper else "</li></ol></li>")
        elif number:
            lines.append("</li>")
        lines.append(f'<li><a href="#{heading.id}">{escape(heading.title)}</a>')
        inside = deeper
    lines.append("</li></ol></li>" if inside else "</li>")
    listed = f"<p>Contents</p><ol>{''.join(lines)}</ol>"
    return f'<nav class="contents" aria-label="Contents">{listed}</nav>'


def _slug(title: str) -> str:
    return re.sub(r"\W+", "-", title).strip("-") or "part"
