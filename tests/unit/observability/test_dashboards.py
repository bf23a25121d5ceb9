"""What Grafana reads is whole, is what the definitions say, and asks for what exists."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from observability.dashboards import DASHBOARDS
from observability.dashboards.grafana import COLUMNS, text
from observability.dashboards.model import Unit

from tests.dashboards import Curve, by_panel, draw, queries
from tests.unit.observability.files import FOLDER, promtool, rules
from tests.unit.observability.known import THIRD_PARTY, known, metrics_in

FILES = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))
QUERIES = list(queries())
RULES = rules()


def pages() -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in FILES]


def drawn(page: dict[str, Any]) -> list[dict[str, Any]]:
    """A page's panels without the headings of rows."""
    return [panel for panel in page["panels"] if panel["type"] != "row"]


PANELS = [(page, panel) for page in pages() for panel in drawn(page)]
EACH_PANEL = pytest.mark.parametrize(
    "panel",
    [panel for _, panel in PANELS],
    ids=[f"{page['title']}: {panel['title']}" for page, panel in PANELS],
)


def test_the_files_are_what_the_definitions_make() -> None:
    assert {path.stem for path in FILES} == {dashboard.uid for dashboard in DASHBOARDS}
    for dashboard in DASHBOARDS:
        path = FOLDER / "grafana" / "dashboards" / f"{dashboard.uid}.json"
        made = text(dashboard)
        assert path.read_text(encoding="utf-8") == made, "run python -m observability.dashboards"


def test_names_and_ids_are_unique() -> None:
    assert len({page["uid"] for page in pages()}) == len(FILES)
    assert len({page["title"] for page in pages()}) == len(FILES)
    for page in pages():
        ids = Counter(panel["id"] for panel in page["panels"])
        titles = Counter((panel["type"] == "row", panel["title"]) for panel in page["panels"])
        assert max(ids.values()) == 1
        assert max(titles.values()) == 1, titles.most_common(1)


def test_panels_lie_side_by_side() -> None:
    for page in pages():
        places = [panel["gridPos"] for panel in page["panels"]]
        assert all(at["x"] >= 0 and at["x"] + at["w"] <= COLUMNS for at in places)
        for one, other in combinations(places, 2):
            beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            assert beside or above, (page["title"], one, other)


@EACH_PANEL
def test_a_panel_can_be_read(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in set(Unit)
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["legendFormat"], target
    # Several curves of one name could not be told apart.
    legends = [target["legendFormat"] for target in panel["targets"]]
    assert len(set(legends)) == len(legends)


@EACH_PANEL
def test_the_datasource_can_be_chosen(panel: dict[str, Any]) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == chosen
    assert all(target["datasource"] == chosen for target in panel["targets"])


def test_the_variables_that_queries_use_exist() -> None:
    for page in pages():
        names = {variable["name"] for variable in page["templating"]["list"]}
        assert "datasource" in names
        whole = json.dumps(drawn(page))
        used = {part.split("}")[0].split(":")[0] for part in whole.split("${")[1:]}
        assert used <= names
        assert names - used == set(), "a choice that changes nothing"


def test_rates_are_over_grafanas_interval() -> None:
    for _, panel in PANELS:
        for target in panel["targets"]:
            for stretch in target["expr"].split("[")[1:]:
                assert stretch.split("]")[0] in ("$__rate_interval", "01"), target["expr"]


@pytest.mark.parametrize("query", QUERIES, ids=lambda q: f"{q.dashboard}: {q.panel} {q.ref}")
def test_a_panel_asks_for_what_exists(query: Any) -> None:
    asked = metrics_in(query.expression)
    assert asked, "asks for nothing"
    assert asked <= known()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.get("alert", rule.get("record"))))
def test_a_rule_asks_for_what_exists(rule: dict[str, Any]) -> None:
    asked = metrics_in(str(rule["expr"]))
    assert asked, "asks for nothing"
    assert asked <= known()


def test_nothing_is_known_that_nobody_asks_for() -> None:
    expressions = [*(query.expression for query in QUERIES), *(str(rule["expr"]) for rule in RULES)]
    asked = {name for expression in expressions for name in metrics_in(expression)}
    assert asked >= THIRD_PARTY


def test_every_metric_of_ours_is_drawn_or_watched() -> None:
    expressions = [*(query.expression for query in QUERIES), *(str(rule["expr"]) for rule in RULES)]
    asked = {name for expression in expressions for name in metrics_in(expression)}
    ours = {name for name in known() - THIRD_PARTY if ":" not in name}
    unused = {name for name in ours - asked if not name.endswith(("_sum", "_count", "_bucket"))}
    assert unused == set()


def test_the_names_in_an_expression_are_found() -> None:
    expression = 'sum by (job) (rate(a_total{x="y"}[5m])) / on (job) slo:b:c > bool 1e3 and up'
    assert metrics_in(expression) == {"a_total", "slo:b:c", "up"}


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    file = tmp_path / "queries.yml"
    made = [
        {"record": f"query:{number}", "expr": query.expression}
        for number, query in enumerate(QUERIES)
    ]
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": made}]}))
    promtool("check", "rules", file)


def test_next_to_no_query_is_empty_in_good_health() -> None:
    assert {query.legend for query in QUERIES if query.may_be_empty} == {"alerts", "handlers"}


def test_provisioning_leads_to_the_dashboards() -> None:
    folder = FOLDER / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((folder / "dashboards" / "task-platform.yml").read_text())[
        "providers"
    ]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


def test_a_panel_can_be_drawn(tmp_path: Path) -> None:
    asked = next(iter(by_panel()))
    answers = [[Curve("one", ((0.0, 1.0), (5.0, 2.0)))] for _ in asked]
    picture = draw(asked, answers, tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")
