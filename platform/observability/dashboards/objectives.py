"""The two objectives, what is left of their budgets, and how fast it is spent."""

from __future__ import annotations

from observability.dashboards.model import (
    Dashboard,
    Panel,
    Query,
    Row,
    Unit,
    figure,
    quantiles,
)

_NO_TRAFFIC = "no traffic"
_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")


def _burn(bad: str, budget: float) -> tuple[Query, ...]:
    return tuple(Query(f"slo:{bad}:ratio_{window} / {budget}", window) for window in _WINDOWS)


DASHBOARD = Dashboard(
    uid="task-platform-slos",
    title="SLOs",
    description="The two objectives, what is left of their budgets, and how fast it is spent.",
    rows=(
        Row(
            "Submissions: 99.9 % accepted over 30 days",
            (
                figure(
                    "Accepted, 30 days",
                    "1 - slo:submissions_unavailable:ratio_30d",
                    Unit.SHARE,
                    "Of the submissions that the client did not get wrong.",
                    no_value=_NO_TRAFFIC,
                ),
                figure(
                    "Error budget left, 30 days",
                    "slo:submissions:budget_remaining_30d",
                    Unit.SHARE,
                    "100 %: nothing is spent; below 0: the objective is missed.",
                    no_value=_NO_TRAFFIC,
                ),
                figure(
                    "Accepted, 5 minutes",
                    "1 - slo:submissions_unavailable:ratio_5m",
                    Unit.SHARE,
                    "Of the submissions that the client did not get wrong.",
                    no_value=_NO_TRAFFIC,
                ),
                Panel(
                    "Submissions",
                    "What the objective counts: all but what clients got wrong, and of these the "
                    "refused ones.",
                    Unit.PER_SECOND,
                    (
                        Query("slo:submissions_answered:rate5m", "answered"),
                        Query("slo:submissions_unavailable:rate5m", "refused as unavailable"),
                    ),
                    width=12,
                    height=4,
                ),
                Panel(
                    "Burn rate of submissions",
                    "How many times faster than allowed the budget is spent, over each window. "
                    "14.4 over an hour and 6 over six hours page; 3 over a day and 1 over three "
                    "days are tickets.",
                    Unit.COUNT,
                    _burn("submissions_unavailable", 0.001),
                    width=24,
                ),
            ),
        ),
        Row(
            "Queue wait: 95 % of attempts start within 1 s over 30 days",
            (
                figure(
                    "In time, 30 days",
                    "1 - slo:attempts_late:ratio_30d",
                    Unit.SHARE,
                    "Attempts that started within 1 s of being due.",
                    no_value=_NO_TRAFFIC,
                ),
                figure(
                    "Budget left, 30 days",
                    "slo:attempts:budget_remaining_30d",
                    Unit.SHARE,
                    "100 %: nothing is spent; below 0: the objective is missed.",
                    no_value=_NO_TRAFFIC,
                ),
                figure(
                    "In time, 5 minutes",
                    "1 - slo:attempts_late:ratio_5m",
                    Unit.SHARE,
                    "Attempts that started within 1 s of being due.",
                    no_value=_NO_TRAFFIC,
                ),
                Panel(
                    "Attempts",
                    "What the objective counts: attempts, and of these the late ones.",
                    Unit.PER_SECOND,
                    (
                        Query("slo:attempts_started:rate5m", "started"),
                        Query("slo:attempts_late:rate5m", "late"),
                    ),
                    width=12,
                    height=4,
                ),
                Panel(
                    "Queue wait",
                    "The objective asks for a p95 of at most 1 s.",
                    Unit.SECONDS,
                    quantiles("worker_queue_wait_seconds"),
                    width=8,
                ),
                Panel(
                    "Burn rate of queue wait",
                    "How many times faster than allowed the budget is spent, over each window; "
                    "20 is the most, when every attempt is late.",
                    Unit.COUNT,
                    _burn("attempts_late", 0.05),
                    width=16,
                ),
            ),
        ),
    ),
)
