"""The commands of a stack that stays: up, status, env, down."""

from __future__ import annotations

import json
import shlex
import sysconfig
from pathlib import Path
from typing import Annotated, Any

import typer

from task_lab import stack
from task_lab.compose_stack import ComposeStack
from task_lab.errors import RuntimeUnavailable, UsageError
from task_lab.output import say

# Where this program lies, and `task-platform` beside it.
_SCRIPTS = sysconfig.get_path("scripts")
_HANDLERS = "TASK_PLATFORM_HANDLERS"


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (up, status, env, down):
        app.command()(command)


def up(
    workers: Annotated[
        int | None, typer.Option(min=0, max=64, help="Workers to run, 1 unless .env says WORKERS.")
    ] = None,
    api_port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="0: any free port; 8000 unless .env says API_PORT."),
    ] = None,
    runtime: Annotated[str, typer.Option(help="native, compose or auto.")] = "auto",
    handlers: Annotated[
        str,
        typer.Option(
            envvar=_HANDLERS,
            help="Modules with handlers of your own, comma-separated, to be found in PYTHONPATH.",
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The state as one JSON object.")] = False,
) -> int:
    """Bring a stack up that stays after this command, and say where it answers.

    In containers where an engine answers, natively elsewhere and with handlers of one's own.
    """
    from task_lab.runtime.selection import resolve_runtime  # noqa: PLC0415

    if handlers and runtime == "auto":
        runtime = "native"
    if resolve_runtime(runtime) == "compose":
        if handlers:
            raise UsageError("--handlers is for the native runtime: an image holds its own modules")
        state = ComposeStack().up(workers=workers, api_port=api_port)
    else:
        settings = {_HANDLERS: handlers} if handlers else {}
        state = stack.up(
            workers=1 if workers is None else workers,
            api_port=8000 if api_port is None else api_port,
            settings=settings,
        )
    _say_stack(state, as_json=as_json)
    return 0


def status(
    as_json: Annotated[bool, typer.Option("--json", help="The state as one JSON object.")] = False,
) -> int:
    """Say where the running stack answers, how many workers run, and what was restarted."""
    _say_stack(_running_stack(), as_json=as_json)
    return 0


def env() -> int:
    """Say what a shell needs to use the running stack: eval "$(task-lab env)"; log-ins included."""
    state = _running_stack()
    if state is None:
        raise RuntimeUnavailable("no stack is running: `make up` starts one")
    if "runtime" in state:
        # Its servers cannot be reached from outside: the tool runs where they can.
        project = f"docker compose --project-name {shlex.quote(state['project'])}"
        say(f'task-platform() {{ {project} exec -T api task-platform "$@"; }}')
        return 0
    endpoints = state["endpoints"]
    say(f'export PATH={shlex.quote(_SCRIPTS)}:"$PATH"')
    say(f"export TASK_PLATFORM_DATABASE_URL={shlex.quote(endpoints['database_url'])}")
    say(f"export TASK_PLATFORM_AMQP_URL={shlex.quote(endpoints['amqp_url'])}")
    return 0


def down() -> int:
    """Stop the running stack. A native one takes its tasks with it, a compose one keeps them."""
    if stack.down():
        say("the stack is stopped, its tasks are deleted")
    elif ComposeStack().down():
        say("the stack is stopped, its tasks stay (docker compose down --volumes deletes them)")
    else:
        say("no stack is running")
    return 0


def _running_stack() -> dict[str, Any] | None:
    return stack.read_state() or ComposeStack().read_state()


def _say_stack(state: dict[str, Any] | None, *, as_json: bool) -> None:
    if as_json:
        say(json.dumps(state))
    elif state is None:
        say("no stack is running")
    else:
        for name, url in state["endpoints"].items():
            say(f"{name.removesuffix('_url'):<17} {url}")
        for name, log_in in state.get("log_ins", {}).items():
            say(f"{name + ' log-in':<17} {log_in['user']} {log_in['password']}")
        if api_url := state["endpoints"].get("api_url"):
            say(f"{'API documentation':<17} {api_url}/docs (offline: {api_url}/openapi.json)")
        wanted = f" of {state['workers_wanted']}" if "workers_wanted" in state else ""
        say(f"{'workers':<17} {len(state['workers'])}{wanted} running")
        if state.get("unhealthy"):
            say(f"{'not healthy':<17} {', '.join(state['unhealthy'])}")
        restarts = (f"{name} {count}" for name, count in sorted(state["restarts"].items()))
        say(f"{'restarts':<17} {', '.join(restarts) or 'none'}")
        say(f"{'logs':<17} {state.get('logs') or 'docker compose logs SERVICE'}")
        program = shlex.quote(str(Path(_SCRIPTS) / "task-lab"))
        say(f'{"for your shell":<17} eval "$({program} env)"')
