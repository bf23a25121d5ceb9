"""What compose makes of names, scaling, images and one-shot jobs; cases of lab-cases.md."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from task_lab.errors import ProgramFailed
from task_lab.runtime.compose.containers import PROJECT_LABEL, leftovers_of
from task_lab.runtime.compose.engine import docker
from task_lab.runtime.compose.files import LabStack, image_name, project_name, stack_files
from task_lab.runtime.compose.project import ComposeProject, ProjectInUse
from task_lab.runtime.compose.readiness import MixedReplicas
from task_lab.runtime.compose.runtime import ComposeRuntime
from task_lab.runtime.ports import PortPool

from ...engine import COMPOSE, engine_or_skip
from .conftest import NETWORK, Stack

pytestmark = COMPOSE

ANSWER_S = 60.0


def test_c8_a_finished_job_and_a_restarted_worker_do_not_fail_the_start(stack: Stack) -> None:
    start = stack.start
    (migrate,) = (one for one in start.containers if one.service == "migrate")
    (worker,) = (one for one in start.containers if one.service == "worker")
    assert (migrate.state, migrate.exit_code) == ("exited", 0)
    assert (worker.state, worker.restarts) == ("running", 1)
    assert (start.api_status, start.consumers) == (200, 1)
    assert start.reached == {"api": True, "relay": True, worker.name: True}


def test_c1_containers_are_found_whatever_their_names(stack: Stack) -> None:
    (first,) = stack.workers(1)
    names = docker(
        *("ps", "--filter", f"label={PROJECT_LABEL}={stack.runtime.project.name}"),
        *("--format", "{{.Names}}"),
        deadline_s=ANSWER_S,
    ).split()
    assert f"{stack.runtime.project.name}_worker_{first.number}" in names
    assert [replica.pid for replica in stack.runtime.replicas()] == [first.pid]
    oldest, second = stack.workers(2)
    assert oldest.id == first.id
    assert second.number > first.number


def test_c2_the_network_is_the_one_that_compose_resolves(stack: Stack) -> None:
    assert stack.runtime.project.network() == NETWORK
    with stack.runtime.network_cut("redis") as containers:
        assert [one.service for one in containers] == ["redis"]
        assert stack.the("redis").address == ""
    assert stack.the("redis").address != ""


def test_c4_scaling_touches_no_other_service(stack: Stack) -> None:
    """Not even one that is down: a worker comes alone, and starts nothing it may depend on."""

    def others() -> dict[str, tuple[str, str, int]]:
        found = stack.runtime.project.containers()
        return {o.id: (o.service, o.state, o.pid) for o in found if o.service != "worker"}

    oldest = stack.workers(2)[0].id
    stack.runtime.project.run("stop", "redis")
    before = others()
    assert len(before) == 7
    assert stack.workers(3)[0].id == oldest
    assert others() == before
    assert [one.id for one in stack.workers(1)] == [oldest]
    assert others() == before
    stack.runtime.project.run("start", "redis")


def test_c6_workers_of_another_image_make_the_run_invalid(stack: Stack) -> None:
    image = image_name(project_name())
    (built,) = stack.workers(1)
    change = ("--change", "LABEL org.task-platform.test=other")
    other = docker("commit", *change, built.id, image, deadline_s=ANSWER_S).strip()
    try:
        with pytest.raises(MixedReplicas) as caught:
            stack.runtime.scale(2)
    finally:
        docker("tag", built.image, image, deadline_s=ANSWER_S)
    assert caught.value.exit_code == 4
    assert set(caught.value.images.values()) == {built.image, other}
    oldest = stack.runtime.project.containers("worker")[0]
    assert oldest.id == built.id, "nobody is replaced behind our back"
    # Without the other one the run can go on.
    assert [one.name for one in stack.runtime.scale(1)] == [built.name]
    docker("image", "rm", other, deadline_s=ANSWER_S)


def test_the_image_is_this_checkout_s_own(stack: Stack) -> None:
    """Whoever builds another checkout, or this one for people, changes nothing here."""
    found = stack.runtime.project.containers()
    ids = [one.id for one in found if one.service in ("api", "worker", "relay", "migrate")]
    names = docker("inspect", "--format", "{{.Config.Image}}", *ids, deadline_s=ANSWER_S)
    assert set(names.split()) == {image_name(project_name())}


def test_a_second_runtime_of_the_checkout_is_refused(stack: Stack, tmp_path: Path) -> None:
    before = [one.id for one in stack.runtime.project.containers()]
    second = ComposeRuntime(tmp_path)
    with pytest.raises(ProjectInUse, match=project_name()):
        second.up(workers=1)
    second.down()
    assert [one.id for one in stack.runtime.project.containers()] == before


def test_a_process_that_ends_over_and_over_is_told_in_its_words(stack: Stack) -> None:
    """A stack that cannot become ready is not waited for until the time is up."""
    stack.workers(1)
    (stack.shared / "ended").unlink()
    stack.shared.chmod(0o755)  # `touch` fails for the worker, which ends again each time
    try:
        with pytest.raises(ProgramFailed, match="Permission denied") as caught:
            stack.runtime.scale(2)
        assert caught.value.program == "worker"
    finally:
        stack.shared.chmod(0o777)
    # One that is being started over and over can be scaled away.
    assert len(stack.runtime.scale(1)) == 1


def test_f1_what_a_killed_run_left_in_mid_fault_is_swept_by_the_next(tmp_path: Path) -> None:
    engine_or_skip()
    name = project_name().replace("-lab-", "-left-")
    ports = PortPool()
    variables = LabStack.drawn(ports).variables()
    ports.close()

    def open_project() -> ComposeProject:
        return ComposeProject(name, stack_files(), variables, tmp_path)

    with closing(open_project()) as killed:
        killed.run("up", "--detach", "--no-deps", "redis", "rabbitmq")
        (redis,), (rabbitmq,) = killed.containers("redis"), killed.containers("rabbitmq")
        docker("pause", redis.id, deadline_s=ANSWER_S)
        network = killed.network()
        docker("network", "disconnect", network, rabbitmq.id, deadline_s=ANSWER_S)
        left = leftovers_of(name)
    assert {part.split()[0] for part in left} == {"container", "volume", "network"}
    open_project().close()
    assert leftovers_of(name) == []
