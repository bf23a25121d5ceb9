"""From a definition to the JSON that Grafana 11 reads. Panels flow from left to right."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from observability.dashboards.model import Dashboard, Kind, Panel, Row, Unit, Variable

COLUMNS = 24
SCHEMA_VERSION = 39
DATASOURCE: Mapping[str, str] = {"type": "prometheus", "uid": "${datasource}"}
_TAG = "task-platform"
_TABLE_COLUMNS_HIDDEN = {"Time": True, "Value": True, "__name__": True, "job": False}


def text(dashboard: Dashboard) -> str:
    """The committed file."""
    return json.dumps(render(dashboard), indent=2, ensure_ascii=False) + "\n"


def render(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana's model of it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [_TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "title": "Task Platform",
                "tags": [_TAG],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "datasource": DATASOURCE,
                    "enable": True,
                    "iconColor": "red",
                    "expr": 'ALERTS{alertstate="firing"}',
                    "titleFormat": "{{alertname}}",
                    "textFormat": "{{severity}} {{job}} {{instance}}",
                    "step": "30s",
                }
            ]
        },
        "templating": {"list": [_datasource(), *map(_variable, dashboard.variables)]},
        "panels": list(_panels(dashboard.rows)),
    }


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "regex": "",
        "refresh": 1,
        "hide": 0,
    }


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.title,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": variable.values,
        "query": {"query": variable.values, "refId": variable.name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }


def _panels(rows: tuple[Row, ...]) -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for row in rows:
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        number, top = number + 1, top + 1
        left, tallest = 0, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top, tallest = 0, top + tallest, 0
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, **_panel(panel), "gridPos": place}
            number, left, tallest = number + 1, left + panel.width, max(tallest, panel.height)
        top += tallest


def _panel(panel: Panel) -> dict[str, Any]:
    description = panel.description
    for query in panel.queries:
        if query.empty_when:
            description += f" Without a value for `{query.legend}` while {query.empty_when}."
    drawn: dict[str, Any] = {
        "type": panel.kind.value,
        "title": panel.title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "editorMode": "code",
                "expr": query.expression,
                "legendFormat": query.legend,
                "range": panel.kind is not Kind.TABLE,
                "instant": panel.kind is Kind.TABLE,
                "format": "table" if panel.kind is Kind.TABLE else "time_series",
            }
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }
    if panel.kind is Kind.TABLE:
        drawn["transformations"] = [
            {"id": "organize", "options": {"excludeByName": _TABLE_COLUMNS_HIDDEN}}
        ]
    return drawn


def _field(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.warn_at is not None:
        steps.append({"color": "orange", "value": panel.warn_at})
    if panel.bad_at is not None:
        steps.append({"color": "red", "value": panel.bad_at})
    steps[1:] = sorted(steps[1:], key=lambda step: float(step["value"]))
    field: dict[str, Any] = {
        "unit": panel.unit.value,
        "color": {"mode": "palette-classic" if panel.kind is Kind.CURVES else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.unit not in (Unit.YES_NO, Unit.ON_OFF) and panel.kind is Kind.CURVES:
        field["min"] = 0
    if panel.most is not None:
        field["max"] = panel.most
    if panel.no_value:
        field["noValue"] = panel.no_value
    if panel.kind is Kind.CURVES:
        field["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stacked else 0,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        }
    return field


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind is Kind.FIGURE:
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "value",
        }
    if panel.kind is Kind.TABLE:
        return {"showHeader": True, "cellHeight": "sm"}
    return {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["lastNotNull", "max"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
