"""Facts of the machine from the kernel's files, as real machines and bare containers have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from task_lab.collect.disk import disk, fsync_ms
from task_lab.collect.images import described
from task_lab.collect.interpreter import interpreter
from task_lab.collect.limits import limits
from task_lab.collect.processor import cpu_model, processor
from task_lab.collect.system import container, hypervisor, load, system

CPUINFO = """processor	: 0
model name	: Example 3000
microcode	: 0x2b
cpu MHz		: 1800.123
flags		: fpu vme hypervisor sse

processor	: 1
model name	: Another
"""
FREQUENCIES = "sys/devices/system/cpu/cpu0/cpufreq"


def tree(root: Path, files: Mapping[str, str]) -> Path:
    """A root folder that holds these files."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_a_laptop_tells_all_of_its_processor(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/cpuinfo": CPUINFO,
            f"{FREQUENCIES}/scaling_cur_freq": "2200000\n",
            f"{FREQUENCIES}/scaling_min_freq": "800000\n",
            f"{FREQUENCIES}/scaling_max_freq": "4100000\n",
            f"{FREQUENCIES}/scaling_governor": "powersave\n",
            f"{FREQUENCIES}/scaling_driver": "intel_pstate\n",
            "sys/devices/system/cpu/intel_pstate/no_turbo": "0\n",
            "sys/devices/system/cpu/smt/active": "1\n",
            "sys/devices/system/cpu/isolated": "\n",
        },
    )
    found = processor(root)
    assert found["frequency_mhz"] == {"now": 2200, "min": 800, "max": 4100}
    assert (found["governor"], found["driver"]) == ("powersave", "intel_pstate")
    assert (found["turbo"], found["hyper_threading"]) == (True, True)
    assert (found["isolated_cores"], found["microcode"]) == (None, "0x2b")
    assert cpu_model(root) == "Example 3000"


@pytest.mark.parametrize(
    ("file", "content", "turbo"),
    [
        ("intel_pstate/no_turbo", "1", False),
        ("cpufreq/boost", "1", True),
        ("cpufreq/boost", "0", False),
    ],
)
def test_turbo_is_told_by_whichever_driver_there_is(
    tmp_path: Path, file: str, content: str, turbo: bool
) -> None:
    root = tree(tmp_path, {f"sys/devices/system/cpu/{file}": content})
    assert processor(root)["turbo"] is turbo


def test_a_container_without_sys_and_proc_knows_nothing_and_does_not_fail(tmp_path: Path) -> None:
    found = processor(tmp_path)
    assert found["frequency_mhz"] == {"now": None, "min": None, "max": None}
    assert found["governor"] is found["turbo"] is found["microcode"] is None
    assert limits(tmp_path) == {
        "cgroup": None,
        "cpu_quota_cores": None,
        "memory_limit_bytes": None,
    }
    told = system(tmp_path)
    assert told["os"] is told["aslr"] is told["clock_source"] is told["hypervisor"] is None
    assert load(tmp_path)["load_average"] is load(tmp_path)["uptime_s"] is None


def test_the_frequency_now_is_told_where_nothing_else_is(tmp_path: Path) -> None:
    found = processor(tree(tmp_path, {"proc/cpuinfo": CPUINFO}))
    assert found["frequency_mhz"] == {"now": 1800.123, "min": None, "max": None}


def test_limits_of_version_2_are_the_tightest_on_the_way_up(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
            "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/a/memory.max": "max\n",
            "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            "sys/fs/cgroup/a/b/memory.max": "1073741824\n",
        },
    )
    assert limits(root) == {"cgroup": 2, "cpu_quota_cores": 1.5, "memory_limit_bytes": 2**30}


def test_limits_of_version_1_are_read_from_each_controllers_tree(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/1f\n4:memory:/docker/1f\n0::/\n",
            # Inside a container only its own folder is mounted, as the top.
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes": "536870912\n",
        },
    )
    assert limits(root) == {"cgroup": 1, "cpu_quota_cores": 0.5, "memory_limit_bytes": 2**29}


def test_no_limit_is_no_limit_in_either_version(tmp_path: Path) -> None:
    old = {
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
    }
    new = {
        "sys/fs/cgroup/cgroup.controllers": "cpu",
        "sys/fs/cgroup/cpu.max": "max 100000",
        "sys/fs/cgroup/memory.max": "max",
    }
    for version, files in ((1, old), (2, new)):
        assert limits(tree(tmp_path / str(version), files)) == {
            "cgroup": version,
            "cpu_quota_cores": None,
            "memory_limit_bytes": None,
        }


def test_the_system_is_told_by_its_files(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "etc/os-release": 'NAME="Example"\nPRETTY_NAME="Example Linux 9"\n',
            "proc/sys/kernel/randomize_va_space": "2\n",
            "sys/devices/system/clocksource/clocksource0/current_clocksource": "kvm-clock\n",
            "proc/loadavg": "0.25 0.50 0.75 3/412 99\n",
            "proc/uptime": "12345.67 20000.00\n",
        },
    )
    found = system(root)
    assert (found["os"], found["aslr"], found["clock_source"]) == (
        "Example Linux 9",
        2,
        "kvm-clock",
    )
    assert load(root)["load_average"] == [0.25, 0.5, 0.75]
    assert (load(root)["runnable_threads"], load(root)["uptime_s"]) == (3, 12345.67)


def test_a_hypervisor_is_told_by_name_where_it_has_one(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/cpuinfo": CPUINFO})
    assert hypervisor(root) == "yes"
    tree(root, {"sys/class/dmi/id/sys_vendor": "QEMU\n"})
    assert hypervisor(root) == "QEMU"
    tree(root, {"sys/hypervisor/type": "xen\n"})
    assert hypervisor(root) == "xen"


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({".dockerenv": ""}, "docker"),
        ({"run/.containerenv": ""}, "podman"),
        ({"proc/self/cgroup": "0::/kubepods/besteffort/pod1\n"}, "kubepods"),
        ({"proc/self/cgroup": "0::/user.slice\n"}, None),
    ],
)
def test_a_container_is_told_by_the_signs_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], kind: str | None
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert container(tree(tmp_path, files)) == kind


def test_a_disk_is_told_with_what_syncing_takes(tmp_path: Path) -> None:
    found = disk(tmp_path)
    assert found["fsync_ms"] > 0
    assert found["free_bytes"] > 0
    assert found["file_system"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_has_no_figures(tmp_path: Path) -> None:
    assert fsync_ms(tmp_path / "none") is None
    assert disk(tmp_path / "none")["free_bytes"] is None


def test_the_interpreter_is_told_with_its_build() -> None:
    found = interpreter()
    assert found["implementation"]
    assert found["compiler"]
    assert found["gc"]["enabled"] is True


def test_an_image_built_here_has_no_digest() -> None:
    image = {"Id": "sha256:ab", "RepoDigests": None, "RepoTags": ["x:dev"], "Size": 1}
    assert described(image) == {
        "id": "sha256:ab",
        "digests": [],
        "tags": ["x:dev"],
        "created_at": None,
    }
