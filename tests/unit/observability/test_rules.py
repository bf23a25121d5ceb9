"""Prometheus accepts what it is given, and whoever is woken finds a page that helps."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from task_platform.metrics import WorkerMetrics

from tests.unit.observability.files import (
    CONFIG,
    FOLDER,
    RULE_FILES,
    RUNBOOK,
    alerts,
    config,
    promtool,
)
from tests.unit.observability.known import THIRD_PARTY

ALERTS = alerts()
_BURN = re.compile(r"slo:(\w+):ratio_(\w+) > ([\d.]+) \* ([\d.]+)")
# What /metrics/per-object of RabbitMQ 4.0 tells of single connections, channels and others' queues.
_UNBOUNDED = (
    ("per-object", "rabbitmq_connection_incoming_bytes_total", ""),
    ("per-object", "rabbitmq_connection_channels", ""),
    ("per-object", "rabbitmq_channel_messages_unacked", ""),
    ("per-object", "rabbitmq_channel_acks_uncommitted", ""),
    ("per-object", "rabbitmq_consumer_prefetch", "tasks"),
    ("per-object", "rabbitmq_queue_messages_ready", "amq.gen-JzTY20BRgKO"),
    ("per-object", "rabbitmq_auth_attempts_total", ""),
    ("per-object", "erlang_mnesia_tablewise_size", ""),
    ("per-object", "telemetry_scrape_duration_seconds_sum", ""),
    ("node", "rabbitmq_queue_messages_ready", ""),
    ("node", "rabbitmq_disk_space_available_bytes", ""),
)


def test_prometheus_accepts_the_configuration_and_all_rules() -> None:
    promtool("check", "config", CONFIG)
    promtool("check", "rules", *RULE_FILES)


def job(name: str) -> dict[str, Any]:
    (found,) = (one for one in config()["scrape_configs"] if one["job_name"] == name)
    return dict(found)


def kept(name: str, *values: str) -> bool:
    """Whether a job keeps a sample with these values of its rule's source labels."""
    (rule,) = (one for one in job(name)["metric_relabel_configs"] if one.get("action") == "keep")
    assert len(rule["source_labels"]) == len(values)
    return re.fullmatch(rule["regex"], ";".join(values)) is not None


def test_the_jobs_have_the_names_that_queries_use() -> None:
    names = [one["job_name"] for one in config()["scrape_configs"]]
    assert names == ["api", "worker", "relay", "rabbitmq", "postgres", "prometheus"]


@pytest.mark.parametrize("name", ["api", "worker", "relay"])
def test_replicas_are_found_by_name(name: str) -> None:
    (found,) = job(name)["dns_sd_configs"]
    assert found["names"] == [f"{name}."]
    assert found["type"] == "A"
    assert found["refresh_interval"] == "2s"


def test_no_name_is_looked_up_in_a_search_domain_of_the_host() -> None:
    """A stranger of the same name there would be scraped, or be told of alerts."""
    searching = [*config()["scrape_configs"], *config()["alerting"]["alertmanagers"]]
    found = [one for part in searching for one in part.get("dns_sd_configs", [])]
    names = [name for one in found for name in one["names"]]
    assert names == ["api.", "worker.", "relay.", "alertmanager."]


@pytest.mark.parametrize("metric", sorted(THIRD_PARTY))
def test_what_is_asked_for_is_kept(metric: str) -> None:
    if metric.startswith("rabbitmq_alarms_"):
        assert kept("rabbitmq", "node", metric, "")
    elif metric.startswith("rabbitmq_queue_"):
        assert kept("rabbitmq", "per-object", metric, "tasks")
        assert kept("rabbitmq", "per-object", metric, "tasks.dlq")
    elif metric.startswith("rabbitmq_"):
        assert kept("rabbitmq", "per-object", metric, "")
        assert not kept("rabbitmq", "node", metric, "")
    elif metric.startswith("pg_"):
        assert kept("postgres", metric)


@pytest.mark.parametrize(("endpoint", "metric", "queue"), _UNBOUNDED)
def test_what_comes_and_goes_is_not_kept(endpoint: str, metric: str, queue: str) -> None:
    assert not kept("rabbitmq", endpoint, metric, queue)


def test_settings_of_postgres_are_not_kept_but_for_one() -> None:
    assert kept("postgres", "pg_settings_max_connections")
    assert not kept("postgres", "pg_settings_work_mem_bytes")


def test_the_bound_of_the_objective_is_written_as_the_worker_writes_it() -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry, ["sum"])
    assert b'worker_queue_wait_seconds_bucket{le="1.0",task_type="sum"}' in generate_latest(
        registry
    )
    rules = (RULE_FILES[0].parent / "slo.yml").read_text(encoding="utf-8")
    assert 'worker_queue_wait_seconds_bucket{le="1.0"}' in rules


def test_burn_rates_are_those_of_the_page_in_both_windows_and_can_be_reached() -> None:
    found = set()
    for alert in ALERTS:
        if not (conditions := _BURN.findall(str(alert["expr"]))):
            continue
        (bad, long, factor, budget), (same, short, other_factor, other_budget) = conditions
        assert (bad, factor, budget) == (same, other_factor, other_budget)
        assert f"sum_over_time(slo:{bad}:rate5m[{long}]) * 60 >= 10" in str(alert["expr"])
        assert alert["labels"]["window"] == long
        assert float(factor) * float(budget) < 1
        severity = alert["labels"]["severity"]
        found.add((bad, budget, severity, float(factor), long, short))
    assert found == {
        (bad, budget, severity, factor, long, short)
        for bad, budget in (("submissions_unavailable", "0.001"), ("attempts_late", "0.05"))
        for severity, factor, long, short in (
            ("page", 14.4, "1h", "5m"),
            ("page", 6, "6h", "30m"),
            ("ticket", 3, "1d", "2h"),
            ("ticket", 1, "3d", "6h"),
        )
    }


def test_alertmanager_tells_pages_from_tickets() -> None:
    told = yaml.safe_load((FOLDER / "alertmanager.yml").read_text(encoding="utf-8"))
    assert {one["name"] for one in told["receivers"]} == {"on-call", "tickets"}
    (page,) = told["route"]["routes"]
    assert (page["matchers"], page["receiver"]) == (['severity = "page"'], "on-call")
    assert told["route"]["receiver"] == "tickets"
    (rule,) = told["inhibit_rules"]
    named = re.findall(r"\w+", " ".join(rule["source_matchers"] + rule["target_matchers"]))
    assert set(named) - {"alertname"} <= {alert["alert"] for alert in ALERTS}


def test_a_page_silences_tickets_only_and_those_of_its_own_job_only() -> None:
    told = yaml.safe_load((FOLDER / "alertmanager.yml").read_text(encoding="utf-8"))
    (rule,) = told["inhibit_rules"]
    assert rule["equal"] == ["job"]
    for side, severity in (("source_matchers", "page"), ("target_matchers", "ticket")):
        (matcher,) = rule[side]
        (names,) = re.findall(r'^alertname =~ "([\w|]+)"$', matcher)
        matched = [alert for alert in ALERTS if alert["alert"] in names.split("|")]
        assert {alert["labels"]["severity"] for alert in matched} == {severity}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_what_it_is_and_where_help_is(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "ticket")
    notes = alert["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert notes["description"].endswith(".")
    assert notes["runbook_url"] == f"docs/how-to/alerts.md#{alert['alert'].lower()}"


def test_the_runbook_has_one_section_for_each_alert() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    sections = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert sorted(sections) == sorted({alert["alert"] for alert in ALERTS})


@pytest.mark.parametrize("name", sorted({alert["alert"] for alert in ALERTS}))
def test_a_section_says_what_it_means_and_what_to_do(name: str) -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    section = text.split(f"### {name}\n", 1)[1].split("\n#", 1)[0]
    for part in ("**Means**", "**Look at**", "**Do**"):
        assert part in section, part
