"""Cores and memory: the machine's, or what is left of a container's, also of nested ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dltune.data.machine import cores, free_memory

MB = 2**20
MACHINE = {"proc/meminfo": f"MemTotal: 131072000 kB\nMemAvailable: {64 * 1024} kB\n"}  # 64 MB free
V1_NONE = str(2**63 - 4096)  # what the first version says where there is no limit
SECOND = {"proc/self/cgroup": "0::/a/b\n"}
FIRST = {"proc/self/cgroup": "7:memory:/docker/0f\n4:cpu,cpuacct:/docker/0f\n1:name=systemd:/x\n"}


@pytest.fixture(autouse=True)
def fixture_many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)


def system(root: Path, *files: dict[str, str]) -> Path:
    """A machine's files about it, those of control groups without the folder that all are in."""
    for path, text in {name: text for some in files for name, text in some.items()}.items():
        place = root / (path if path.startswith("proc/") else f"sys/fs/cgroup/{path}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "count"),
    [
        pytest.param({}, 64, id="no groups at all"),
        pytest.param(SECOND, 64, id="a group without limits"),
        pytest.param(SECOND | {"cpu.max": "max 100000\n"}, 64, id="none"),
        pytest.param(SECOND | {"cpu.max": "250000 100000\n"}, 2, id="of the outermost"),
        pytest.param(SECOND | {"a/b/cpu.max": "50000 100000\n"}, 1, id="less than one"),
        pytest.param(
            SECOND | {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "800000 100000\n"},
            3,
            id="of the one around it",
        ),
        pytest.param(
            FIRST
            | {
                "cpu,cpuacct/docker/0f/cpu.cfs_quota_us": "200000\n",
                "cpu,cpuacct/docker/0f/cpu.cfs_period_us": "50000\n",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            4,
            id="of the first version",
        ),
        pytest.param(
            FIRST | {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            2,
            id="seen from inside, by another name",
        ),
    ],
)
def test_cores(files: dict[str, str], count: int, tmp_path: Path) -> None:
    assert cores(system(tmp_path, files)) == count


@pytest.mark.parametrize(
    ("files", "megabytes"),
    [
        pytest.param({}, 64, id="no groups at all"),
        pytest.param(
            SECOND | {"a/b/memory.max": "max\n", "a/b/memory.current": "5\n"}, 64, id="none"
        ),
        pytest.param(
            SECOND | {"a/memory.max": f"{20 * MB}\n", "a/memory.current": f"{12 * MB}\n"},
            8,
            id="of the one around it",
        ),
        pytest.param(
            SECOND
            | {
                "a/b/memory.max": f"{20 * MB}\n",
                "a/b/memory.current": f"{18 * MB}\n",
                "a/b/memory.stat": f"anon {2 * MB}\ninactive_file {15 * MB}\nactive_file 3\n",
            },
            17,
            id="files that were read take nothing",
        ),
        pytest.param(
            SECOND | {"memory.max": f"{4 * MB}\n", "memory.current": f"{5 * MB}\n"}, 0, id="used up"
        ),
        pytest.param(
            SECOND | {"memory.max": f"{900 * MB}\n", "memory.current": "0\n"}, 64, id="more than is"
        ),
        pytest.param(
            FIRST
            | {
                "memory/docker/0f/memory.limit_in_bytes": f"{30 * MB}\n",
                "memory/docker/0f/memory.usage_in_bytes": f"{20 * MB}\n",
                "memory/docker/0f/memory.stat": f"inactive_file 0\ntotal_inactive_file {MB}\n",
                "memory/memory.limit_in_bytes": f"{V1_NONE}\n",
                "memory/memory.usage_in_bytes": f"{80 * MB}\n",
            },
            11,
            id="of the first version",
        ),
        pytest.param(
            FIRST
            | {
                "memory/memory.limit_in_bytes": f"{30 * MB}\n",
                "memory/memory.usage_in_bytes": f"{20 * MB}\n",
            },
            10,
            id="of the first version, seen from inside",
        ),
    ],
)
def test_memory(files: dict[str, str], megabytes: int, tmp_path: Path) -> None:
    assert free_memory(system(tmp_path, MACHINE, files)) == megabytes * MB


def test_cores_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity here")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)
