"""What stands under each figure: where its lines come from and how far they can be trusted."""

from dataclasses import dataclass

from task_lab.report.figures.timelines import rate_window, refresh_s
from task_lab.report.records import Metric


@dataclass(frozen=True)
class Caption:
    """Markdown, and the metric whose query is printed after it."""

    text: str
    metric: str | None = None


_BANDS = " Hatched: the discarded warm-up. Grey bands: every second round."

CAPTIONS = {
    "rates": Caption(
        "Bars are medians over the rounds (of the drain: one measurement unless it was repeated); "
        "dots are the single rounds; whiskers are 95 % order-statistic intervals, drawn from six "
        "rounds on. Orange-red lines: what the original system, which this one replaces, was "
        "reported to reach. They are there for scale; rates do not carry over between machines."
    ),
    "rounds": Caption(
        "A round that differs from its neighbours met something they did not; a slope means that "
        "the platform slows down or speeds up as it goes on, and that one median hides it."
    ),
    "latency": Caption(
        "Percentiles of all tasks of all measured rounds, each one a latency that was really "
        "seen. Lines through the marks: 95 % intervals from resampling whole rounds, where there "
        "are six. Hollow marks: the rounds were too few or too short to rely on that percentile. "
        "Each round sends as fast as it can, so these are latencies at saturation, not of a "
        "moderate load."
    ),
    "throughput": Caption(
        "The ledger counts every finished task in its quarter of a second. PromQL's rate looks "
        "back over its whole window, so it rises and falls later, and levels out what is shorter "
        "than the window." + _BANDS,
        metric="throughput",
    ),
    "queue-depth": Caption(
        "The ledger's depth is exact: tasks due and not yet started, those already delivered to a "
        "worker among them. The broker counts messages not yet delivered: fewer by up to the "
        "workers' prefetch, more where a task was announced twice, which costs a message and no "
        "second run." + _BANDS,
        metric="queue_ready",
    ),
    "in-flight": Caption(
        "In flight is what workers hold: delivered and not acknowledged, sampled at each scrape. "
        "The ledger shows those among them whose handler was running; for tasks of a few "
        "microseconds that is next to nothing." + _BANDS,
        metric="in_flight",
    ),
    "resources": Caption(
        "Areas: what each part used, one upon the other; the black line is the whole machine. "
        "The parts are read one after the other, and what a short-lived process used is known "
        "once it has ended: for half a second the areas may reach above the line, even above all "
        "cores. "
        "Crossed: no samples, as when the machine itself stood still." + _BANDS
    ),
    "counts": Caption(
        "Prometheus differs from the ledger when a worker finished tasks before its first scrape "
        "or after its last one: what was counted then was never seen. The ledger's is the total."
    ),
}


def caption(of: Caption, metric: Metric | None = None) -> str:
    """The caption's Markdown; with its metric, also the query, its window and its refresh."""
    text = of.text
    if metric is None:
        return text
    text += f" Query: `{metric.query}`, a point every {metric.step_s:g} s."
    window = rate_window(metric.query)
    if window:
        text += f" Window: {window}."
    refresh = refresh_s(metric) if of.metric == "queue_ready" else None
    if refresh:
        text += f" The broker renews this figure itself; here about every {refresh:.2g} s."
    return text
