"""Writes every dashboard to the folder that Grafana reads."""

from __future__ import annotations

from pathlib import Path

from observability.dashboards import DASHBOARDS
from observability.dashboards.grafana import text

FOLDER = Path(__file__).parents[1] / "grafana" / "dashboards"


def main() -> None:
    """Write one file for each dashboard, named by its uid."""
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(text(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
