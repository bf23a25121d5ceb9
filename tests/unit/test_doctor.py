"""What the lab needs of a machine, told all at once and before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_lab.cli import run_command
from task_lab.doctor import MachineUnfit, examine, require_fit
from task_lab.runtime.instance import DATA_ROOT_VARIABLE


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that does not exist, and a PATH without any program."""
    monkeypatch.setenv(DATA_ROOT_VARIABLE, str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "nowhere"


def test_every_unmet_need_is_named(nowhere: Path) -> None:
    unmet = {finding.need: finding.detail for finding in examine() if not finding.is_met}
    assert {"server programs", "disk space"} <= set(unmet)
    assert "redis-server" in unmet["server programs"]
    assert "prometheus" in unmet["server programs"]
    assert str(nowhere) in unmet["disk space"]


def test_an_unfit_machine_is_one_error_with_all_its_findings(nowhere: Path) -> None:
    with pytest.raises(MachineUnfit) as raised:
        require_fit()
    assert len(raised.value.findings) >= 2
    assert all(finding.detail in str(raised.value) for finding in raised.value.findings)


def test_a_run_on_an_unfit_machine_leaves_no_folder(nowhere: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    assert run_command(["run", "throughput", "--results", str(results)]) == 70
    assert not results.exists()


def test_the_doctor_says_what_is_missing(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor"]) == 70
    assert "MISSING  server programs" in capsys.readouterr().out
