"""The figure that follows a run, in a real kernel."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from task_lab.store import create_run

PNG = b"\x89PNG"
SHOW = """
from task_lab.live.plot import live_plot
plot = live_plot({folder!r}, every_s=0.1)
"""
PLAY = """
import json
import threading
import time
from pathlib import Path
from task_lab.store import RunFolder

folder = RunFolder(Path({folder!r}))

def play():
    folder.append_event("phase_started", phase="p", kind="load", workload="sum", workers=1, tasks=9)
    with (folder / "history.jsonl").open("a") as history:
        for n in range(9):
            line = dict(phase="p", outcome="accepted", answered_at=time.time())
            history.write(json.dumps(line) + chr(10))
            history.flush()
            time.sleep(0.1)
    folder.append_event("phase_ended", phase="p", drained=True, accepted=9, submit_per_s=10.0)

writer = threading.Thread(target=play)
writer.start()
writer.join()
deadline = time.monotonic() + 20
while plot.state.outcomes["accepted"] < 9 and time.monotonic() < deadline:
    time.sleep(0.1)
time.sleep(0.5)
print(plot.is_live)
"""
END = """
folder.append_event("stopped", ended="completed")
print(plot.wait(20), plot.is_live)
"""


def run_notebook(*cells: str) -> list[NotebookNode]:
    """Executes the cells in a kernel of their own; the cells with their outputs."""
    new_cell: Callable[[str], NotebookNode] = nbformat.v4.new_code_cell
    notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[new_cell(cell) for cell in cells]
    )
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return list(notebook.cells)


def texts(cell: NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def test_a_notebook_has_one_figure_that_follows_the_run_to_its_end(tmp_path: Path) -> None:
    folder = str(create_run("throughput", {}, results=tmp_path).path)
    shown, played, ended = run_notebook(
        SHOW.format(folder=folder), PLAY.format(folder=folder), END.format()
    )
    (figure,) = shown.outputs
    assert figure.output_type == "display_data"
    assert base64.b64decode(figure.data["image/png"]).startswith(PNG)
    assert "9 tasks accepted" in figure.data["text/plain"]
    assert "writing the report" in figure.data["text/plain"]
    assert texts(played) == "True\n"
    assert texts(ended) == "True False\n"
    assert [output.output_type for output in played.outputs + ended.outputs] == ["stream"] * 2


def test_it_can_follow_a_phase_alone_or_be_stopped(tmp_path: Path) -> None:
    folder = str(create_run("throughput", {}, results=tmp_path).path)
    one = f"""
from pathlib import Path
from task_lab.live.plot import live_plot
from task_lab.store import RunFolder

folder = RunFolder(Path({folder!r}))
phase = dict(phase="p", kind="load", workload="sum", workers=1, tasks=9)
plot = live_plot(folder, until="phase", every_s=0.1)
folder.append_event("phase_started", **phase)
folder.append_event("phase_ended", drained=True, accepted=9, submit_per_s=1.0, **phase)
print(plot.wait(20))
"""
    other = """
with live_plot(folder, every_s=0.1) as plot:
    print(plot.is_live)
plot.stop()
print(plot.is_live)
"""
    first, second = run_notebook(one, other)
    assert texts(first) == "True\n"
    assert texts(second).splitlines() == ["True", "False"]
    assert any(output.output_type == "display_data" for output in second.outputs)
