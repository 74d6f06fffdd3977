"""A worker's messages and its end, without a worker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dltune.search.executors.launch import worker_context
from dltune.search.executors.slot import Slot, oom_kills, reason_of
from dltune.search.executors.worker import Ready, WorkerSetup


@pytest.fixture(name="slot")
def fixture_slot(tmp_path: Path) -> Slot:
    slot = Slot(WorkerSetup(folder=tmp_path, code_folders=(), threads=1), worker_context())
    slot.open()
    return slot


def test_a_message_that_death_cut_off_was_never_sent(slot: Slot) -> None:
    reader, writer = worker_context().Pipe(duplex=False)
    writer.send(Ready())
    whole = os.read(reader.fileno(), 10_000)
    reader.close()
    writer.close()
    os.write(slot._workers_end.fileno(), whole + whole[: len(whole) // 2])
    slot._workers_end.close()
    assert slot.receive() == Ready()
    assert slot.receive() is None
    slot.stop()
    assert not slot.is_open


@pytest.mark.parametrize(
    ("code", "kills", "reason"),
    [
        (-9, 0, "worker killed (signal 9)"),
        (-9, 2, "out of memory"),
        (-11, 2, "worker killed (signal 11)"),
        (1, 0, "worker exited (code 1)"),
        (0, 0, "worker exited (code 0)"),
        (None, 0, "worker exited (code 0)"),
    ],
)
def test_why_a_worker_died(code: int | None, kills: int, reason: str) -> None:
    assert reason_of(code, oom_kills=kills) == reason


def test_linux_counts_whom_it_kills_for_memory() -> None:
    counter = Path("/proc/vmstat")
    if not counter.exists() or "oom_kill " not in counter.read_text():
        pytest.skip("this system does not count")
    assert f"oom_kill {oom_kills()}\n" in counter.read_text()
