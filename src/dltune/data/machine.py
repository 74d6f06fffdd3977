"""What of this machine a process may use: cores and memory, less where a container has limits.

This module is light: workers are counted before torch is there. A container is a control group of
Linux's, or several, one inside the other; each may have its own limits, and all of them hold. The
host's numbers, which most programs see, say nothing about them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")  # below which are Linux's files about processes and control groups


def cores(system: Path = ROOT) -> int:
    """Cores that this process may use: what the machine, its owner and containers allow.

    >>> 1 <= cores() <= (os.cpu_count() or 1)
    True
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    for group in _groups("cpu", system):
        quota, _, period = _text(group / "cpu.max").partition(" ")
        if not quota:  # of the first version
            quota, period = (_text(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota.isdecimal() and period.isdecimal():  # "max", or -1, is none
            count = min(count, int(quota) // int(period))
    return max(1, count)


def free_memory(system: Path = ROOT) -> int:
    """Bytes that this process could still take, roughly.

    What Linux calls available, elsewhere half of the machine's memory; at most what is left of the
    limits of containers, and of `ulimit -v`. In a container, files that were read and can be
    forgotten count as free, too.

    >>> free_memory() > 0
    True
    """
    free = _free_of_machine(system)
    for group in _groups("memory", system):
        for limit, used, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, taken = _text(group / limit), _text(group / used)
            if most.isdecimal() and taken.isdecimal():
                forgettable = int(_table(group / "memory.stat", " ").get(cache, "0"))
                free = min(free, int(most) - int(taken) + forgettable)
    return max(0, min(free, _left_of_address_space(free)))


def _left_of_address_space(free: int) -> int:
    """What of that `ulimit -v` leaves."""
    if sys.platform != "linux":
        return free
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return free
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return limit - pages * resource.getpagesize()


def oom_kills() -> int:
    """How many processes Linux has killed because memory ran out; 0 elsewhere."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _free_of_machine(system: Path) -> int:
    available = _table(system / "proc/meminfo", ":").get("MemAvailable")
    if available is not None:
        return int(available.split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _groups(controller: str, system: Path) -> Iterator[Path]:
    """The folders of the groups that this process is in, from its own outwards.

    Of both versions. From inside a container, its own folder may be the outermost one that is
    visible, whatever name it has on the host: so all are looked at, there or not.
    """
    mounted = system / "sys/fs/cgroup"
    for line in _text(system / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # the second version: all controllers in one tree
            roots = [mounted, mounted / "unified"]
        elif controller in controllers.split(","):
            roots = [mounted / controllers, mounted / controller]
        else:
            continue
        own = PurePosixPath(path)
        for root in roots:
            yield from (root.joinpath(*group.parts[1:]) for group in (own, *own.parents))


def _table(path: Path, separator: str) -> dict[str, str]:
    rows = (line.partition(separator) for line in _text(path).splitlines())
    return {name: value.strip() for name, _, value in rows}


def _text(path: Path) -> str:
    """What a file holds; "" where there is none to read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
