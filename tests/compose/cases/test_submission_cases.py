"""What became of submissions while a link was cut; cases of lab-cases.md."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from task_lab.check.evidence import Evidence, history_frame
from task_lab.check.submissions import Submissions, class_submissions
from task_lab.collect.database import Ledger, with_phases
from task_lab.collect.loop import LoopThread
from task_lab.load.processes import Generator
from task_lab.load.schedule import constant_schedule
from task_lab.load.wire import Load, SenderReport
from task_lab.measure.bench import wait_settled
from task_lab.runtime.compose.engine import docker
from task_lab.spec import load_definition, resolve
from task_lab.store import RunFolder

from ...engine import COMPOSE
from .conftest import Stack, wait_until

pytestmark = COMPOSE

SPEC = resolve(
    load_definition("throughput"),
    {"tasks": 1_000, "rounds": 1, "workers": [2], "workloads": ["sum"], "drain_tasks": 1},
)
# Slow enough for a cut in the middle.
OFFERED_PER_S = 150
ROUND = SPEC.phases()[1]
# In the broker itself, which knows of a connection at once: eight times, three a second.
CUT = """
Is_api = fun(P) ->
    case catch rabbit_networking:connection_info(P, [peer_host]) of
        [{{peer_host, Host}}] -> rabbit_misc:ntoa(Host) == "{address}";
        _ -> false
    end
end,
lists:sum([begin
    Found = lists:filter(Is_api, rabbit_networking:connections()),
    [rabbit_networking:close_connection(P, "cut by a test") || P <- Found],
    timer:sleep(300),
    length(Found)
end || _ <- lists:seq(1, 8)]).
"""
ANSWER_S = 60.0


def offered(
    stack: Stack, folder: RunFolder, *, timeout_s: float
) -> tuple[SenderReport, Submissions]:
    """A round offered by the lab's own sender, and what became of each submission."""
    stack.workers(ROUND.workers)
    with Generator(folder / "sender.log") as generator:
        started_at = time.time()
        report = generator.offer(
            Load(
                phase=ROUND.name,
                api_url=stack.endpoints.api_url,
                bodies=[SPEC.workloads[0].parts[0].submission_text()],
                tasks=ROUND.tasks,
                in_flight=64,
                history=str(folder / "history.jsonl"),
                timeout_s=timeout_s,
                schedule_s=constant_schedule(ROUND.tasks, OFFERED_PER_S),
            )
        )
    loop = LoopThread()
    ledger = Ledger(loop, stack.endpoints.database_url)
    try:
        assert wait_settled(ledger)
        tasks = ledger.tasks()
        evidence = Evidence(
            spec=SPEC,
            history=history_frame(folder),
            tasks=with_phases(
                tasks[tasks["created_at"] >= started_at].reset_index(drop=True),
                history_frame(folder),
                [{"phase": ROUND.name, "workload": ROUND.workload, "workers": ROUND.workers}],
            ),
            dead_letters=ledger.dead_letters(),
            dlq_ids=[],
            events=[],
            prometheus=None,
            failures=ledger.attempt_failures(),
        )
    finally:
        ledger.close()
        loop.stop()
    assert set(evidence.tasks["state"]) == {"SUCCEEDED"}
    return report, class_submissions(evidence)


@contextmanager
def broker_link_of_the_api_cut(stack: Stack, history: Path) -> Iterator[list[int]]:
    """Have the broker close the API's connections over and over from the first submission on.

    When the block ends there is one number in what it yields: how many were closed.
    """
    broker, cut = stack.the("rabbitmq"), CUT.format(address=stack.the("api").address)
    closed: list[int] = []

    def cut_repeatedly() -> None:
        wait_until(history.exists, "the first submission")
        said = docker("exec", broker.id, "rabbitmqctl", "eval", cut, deadline_s=ANSWER_S)
        closed.append(int(said))

    thread = threading.Thread(target=cut_repeatedly)
    thread.start()
    try:
        yield closed
    finally:
        thread.join()


def test_c14_a_cut_broker_link_leaves_no_submission_in_doubt(stack: Stack, tmp_path: Path) -> None:
    """Accepted means committed to the database: what the broker heard of it does not matter."""
    folder = RunFolder(tmp_path)
    with broker_link_of_the_api_cut(stack, folder / "history.jsonl") as closed:
        report, classed = offered(stack, folder, timeout_s=10)
    assert closed[0] >= 1, "it was not cut"
    assert (report.accepted, report.unknown, report.rejected) == (1_000, 0, 0)
    assert (classed.lost, classed.recovered, classed.absent, classed.unexpected) == (0, 0, 0, 0)


def test_c14_submissions_without_an_answer_stay_apart_until_the_ledger_tells(
    stack: Stack, tmp_path: Path
) -> None:
    folder, api = RunFolder(tmp_path), stack.the("api")

    def freeze() -> None:
        history = folder / "history.jsonl"
        wait_until(lambda: history.exists() and history.stat().st_size > 20_000, "some answers")
        docker("pause", api.id, deadline_s=ANSWER_S)
        time.sleep(1.5)
        docker("unpause", api.id, deadline_s=ANSWER_S)

    freezing = threading.Thread(target=freeze)
    freezing.start()
    try:
        report, classed = offered(stack, folder, timeout_s=0.5)
    finally:
        freezing.join()
    assert report.unknown > 0, "nobody was in doubt"
    assert report.accepted + report.unknown == 1_000
    assert classed.accepted == report.accepted
    assert classed.recovered + classed.absent == report.unknown
    # What was on its way when the client lost patience was committed all the same.
    assert classed.recovered > 0
    assert (classed.lost, classed.unexpected) == (0, 0)
