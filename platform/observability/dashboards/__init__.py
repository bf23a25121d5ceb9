"""Grafana's dashboards as typed definitions; `python -m observability.dashboards` writes them.

Grafana reads the files in `grafana/dashboards/`, which are committed: a test holds them equal to
what these definitions make.
"""

from __future__ import annotations

from observability.dashboards import api_and_relay, objectives, overview, servers, workers
from observability.dashboards.model import Dashboard

DASHBOARDS: tuple[Dashboard, ...] = (
    overview.DASHBOARD,
    workers.DASHBOARD,
    api_and_relay.DASHBOARD,
    servers.DASHBOARD,
    objectives.DASHBOARD,
)
