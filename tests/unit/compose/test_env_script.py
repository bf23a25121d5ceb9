"""`make env`: passwords that only their user reads, and that stay once they are there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from task_lab.store import PROJECT

NAMES = ("POSTGRES", "PLATFORM", "EXPORTER", "RABBITMQ", "REDIS", "GRAFANA")
SCRIPT = Path("platform", "docker", "env.sh")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The script in a project of its own, with one file that a server is to read."""
    (tmp_path / SCRIPT).parent.mkdir(parents=True)
    (tmp_path / "platform" / "observability").mkdir()
    shutil.copy(PROJECT / SCRIPT, tmp_path / SCRIPT)
    served(tmp_path).touch(mode=0o600)
    return tmp_path


def served(checkout: Path) -> Path:
    return checkout / "platform" / "observability" / "prometheus.yml"


def written(checkout: Path) -> str:
    """Run the script; what stands in `.env` then."""
    subprocess.run(["bash", checkout / SCRIPT], check=True, timeout=30, cwd="/")
    return (checkout / ".env").read_text()


def passwords(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)_PASSWORD=(.*)$", text, re.MULTILINE))


def test_each_service_has_a_random_password_of_its_own(checkout: Path) -> None:
    drawn = passwords(written(checkout))
    assert tuple(drawn) == NAMES
    assert all(re.fullmatch("[0-9a-f]{32}", password) for password in drawn.values())
    assert len(set(drawn.values())) == len(NAMES)
    (checkout / ".env").unlink()
    assert not set(passwords(written(checkout)).values()) & set(drawn.values())


def test_only_its_user_reads_the_file_and_everybody_what_servers_read(checkout: Path) -> None:
    (checkout / ".env").touch(mode=0o644)
    written(checkout)
    assert (checkout / ".env").stat().st_mode & 0o777 == 0o600
    assert served(checkout).stat().st_mode & 0o777 == 0o644


def test_a_second_run_changes_nothing(checkout: Path) -> None:
    assert written(checkout) == written(checkout)


@pytest.mark.parametrize(
    ("before", "drawn"),
    [
        ("API_PORT=8000-8003\n", NAMES),
        ("REDIS_PASSWORD=mine\n", tuple(name for name in NAMES if name != "REDIS")),
        ("# a remark\n\nREDIS_PASSWORD=\n", NAMES),
        # The last line has no end.
        ("API_PORT=8000-8003", NAMES),
        ("GRAFANA_PASSWORD=mine", NAMES[:-1]),
    ],
)
def test_what_stood_there_stays(before: str, drawn: tuple[str, ...], checkout: Path) -> None:
    (checkout / ".env").write_text(before)
    after = written(checkout)
    kept = before if before.endswith("\n") else before + "\n"
    assert after.startswith(kept)
    assert tuple(passwords(after.removeprefix(kept))) == drawn
