"""What there is to train with, and how many workers that makes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from dltune.errors import UsageError
from dltune.search.data_shelf import DataShelf
from dltune.search.executors import machine
from dltune.search.executors.build import build_executor
from dltune.search.executors.pool import WorkerPool
from dltune.search.executors.this_machine import InProcess
from dltune.search.plan import PlanBook


def test_cores_are_those_this_process_may_use() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity here")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("quota", "count"), [("max 100000\n", 64), ("250000 100000\n", 2), ("50000 100000\n", 1)]
)
def test_a_container_may_allow_less(
    quota: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(machine, "CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert machine.cores() == count


def test_torch_tells_in_a_file_what_it_was_built_for() -> None:
    assert machine.torch_has_cuda() == (torch.version.cuda is not None)


@pytest.fixture(name="four_gpus")
def fixture_four_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with four GPUs, as its driver shows it."""
    for name in ("0000:01:00.0", "0000:02:00.0", "0000:41:00.0", "0000:42:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    monkeypatch.setattr(machine, "NVIDIA_GPUS", tmp_path / "gpus")
    monkeypatch.setattr(machine, "torch_has_cuda", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("four_gpus")
def test_a_worker_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.gpus("auto") == machine.gpus("cuda") == ["0", "1", "2", "3"]
    assert machine.gpus("cpu") == machine.gpus("mps") == []
    assert machine.worker_count("auto", device="auto", trials=100) == 4
    assert machine.worker_count("auto", device="auto", trials=3) == 3
    assert machine.worker_count(8, device="cuda", trials=100) == 8
    assert machine.worker_count("auto", device="cpu", trials=1000) == machine.cores()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-8932f937")
    assert machine.gpus("auto") == ["2", "GPU-8932f937"]
    for nothing in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
        assert machine.gpus("auto") == []


@pytest.mark.usefixtures("four_gpus")
def test_a_torch_without_cuda_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "torch_has_cuda", lambda: False)
    assert machine.gpus("auto") == []


@pytest.mark.usefixtures("four_gpus")
def test_workers_are_dealt_the_gpus_in_turn(tmp_path: Path) -> None:
    pool = WorkerPool(
        DataShelf(tmp_path),
        tmp_path,
        workers=6,
        book=PlanBook(None, "off"),
        cores=12,
        gpus=machine.gpus("auto"),
    )
    setups = [slot.setup for slot in pool._crew.slots]
    assert [setup.gpu for setup in setups] == ["0", "1", "2", "3", "0", "1"]
    assert {setup.threads for setup in setups} == {2}


def test_apple_has_one_gpu() -> None:
    assert machine.worker_count("auto", device="mps", trials=100) == 1
    assert machine.on_apple_gpu("mps")
    assert not machine.on_apple_gpu("cpu")
    if sys.platform != "darwin":
        assert not machine.on_apple_gpu("auto")


def test_options_that_make_no_sense(tmp_path: Path) -> None:
    def build(**options: object) -> None:
        build_executor(DataShelf(tmp_path), tmp_path, trials=9, device="cpu", **options)  # type: ignore[arg-type]

    with pytest.raises(UsageError, match="--workers 0: must be at least 1\nTry --workers auto"):
        build(workers=0)
    with pytest.raises(UsageError, match="--stack 0: must be at least 1\nTry --stack auto"):
        build(stack=0)
    with pytest.raises(UsageError, match="--trial-timeout 0: must be more than 0 seconds\nTry"):
        build(trial_timeout=0.0)
    with pytest.raises(UsageError, match="--trial-timeout nan: must be more than 0 seconds"):
        build(trial_timeout=float("nan"))


def test_one_worker_is_this_process(tmp_path: Path) -> None:
    executor = build_executor(DataShelf(tmp_path), tmp_path, trials=9, device="cpu", workers=1)
    assert isinstance(executor, InProcess)
    alone = build_executor(DataShelf(tmp_path), tmp_path, trials=1, device="cpu", workers=8)
    assert isinstance(alone, InProcess)
