"""What there is to train with, how many workers that makes, and their early start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dltune.data.machine import cores
from dltune.errors import UsageError
from dltune.search.data_shelf import DataShelf
from dltune.search.executors import build
from dltune.search.executors.build import build_executor
from dltune.search.executors.in_process import InProcess
from dltune.search.executors.pool import WorkerPool
from dltune.search.plan import PlanBook


def test_torch_tells_in_a_file_what_it_was_built_for() -> None:
    assert build.torch_has_cuda() == (torch.version.cuda is not None)


@pytest.fixture(name="four_gpus")
def fixture_four_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with four GPUs, as its driver shows it."""
    for name in ("0000:01:00.0", "0000:02:00.0", "0000:41:00.0", "0000:42:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    monkeypatch.setattr(build, "NVIDIA_GPUS", tmp_path / "gpus")
    monkeypatch.setattr(build, "torch_has_cuda", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("four_gpus")
def test_a_worker_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert build.gpus("auto") == build.gpus("cuda") == ["0", "1", "2", "3"]
    assert build.gpus("cpu") == build.gpus("mps") == []
    assert build.worker_count("auto", device="auto", trials=100) == 4
    assert build.worker_count("auto", device="auto", trials=3) == 3
    assert build.worker_count(8, device="cuda", trials=100) == 8
    assert build.worker_count("auto", device="cpu", trials=1000) == cores()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-8932f937")
    assert build.gpus("auto") == ["2", "GPU-8932f937"]
    for nothing in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
        assert build.gpus("auto") == []


@pytest.mark.usefixtures("four_gpus")
def test_a_torch_without_cuda_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "torch_has_cuda", lambda: False)
    assert build.gpus("auto") == []


@pytest.mark.usefixtures("four_gpus")
def test_workers_are_dealt_the_gpus_in_turn(tmp_path: Path) -> None:
    pool = WorkerPool(
        DataShelf(tmp_path),
        tmp_path,
        workers=6,
        book=PlanBook(None, "off"),
        cores=12,
        gpus=build.gpus("auto"),
    )
    assert [setup.gpu for setup in pool.setups] == ["0", "1", "2", "3", "0", "1"]
    assert {setup.threads for setup in pool.setups} == {2}
    # A GPU's memory is shared by those that have it, not by all six.
    assert [setup.on_gpu for setup in pool.setups] == [2, 2, 1, 1, 2, 2]


def test_apple_has_one_gpu() -> None:
    assert build.worker_count("auto", device="mps", trials=100) == 1
    assert build.on_apple_gpu("mps")
    assert not build.on_apple_gpu("cpu")
    if sys.platform != "darwin":
        assert not build.on_apple_gpu("auto")


def test_options_that_make_no_sense() -> None:
    def built(**options: Any) -> None:
        build.check_options(**{"workers": 1, "stack": "auto", "trial_timeout": None} | options)

    with pytest.raises(UsageError, match="--workers 0: must be at least 1\nTry --workers auto"):
        built(workers=0)
    with pytest.raises(UsageError, match="--stack 0: must be at least 1\nTry --stack auto"):
        built(stack=0)
    with pytest.raises(UsageError, match="--trial-timeout 0: must be more than 0 seconds\nTry"):
        built(trial_timeout=0.0)
    with pytest.raises(UsageError, match="--trial-timeout nan: must be more than 0 seconds"):
        built(trial_timeout=float("nan"))


def test_one_worker_is_this_process(tmp_path: Path) -> None:
    executor = build_executor(DataShelf(tmp_path), tmp_path, trials=9, device="cpu", workers=1)
    assert isinstance(executor, InProcess)
    alone = build_executor(DataShelf(tmp_path), tmp_path, trials=1, device="cpu", workers=8)
    assert isinstance(alone, InProcess)


def test_a_limit_needs_a_process_that_can_be_stopped(tmp_path: Path) -> None:
    limited = build_executor(
        DataShelf(tmp_path), tmp_path, trials=9, device="cpu", workers=1, trial_timeout=60.0
    )
    with limited:
        assert isinstance(limited, WorkerPool)
        assert len(limited.setups) == 1


def test_a_users_model_needs_a_process_that_may_end(tmp_path: Path) -> None:
    own = build_executor(
        DataShelf(tmp_path), tmp_path, trials=9, device="cpu", workers=1, users_model=True
    )
    with own:
        assert isinstance(own, WorkerPool)
        assert len(own.setups) == 1


def test_starting_early_is_light() -> None:
    """It is the first thing that a command does: nothing may be imported for it."""
    program = (
        "import sys; import dltune.search.executors.build; "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "optuna", "pandas", "pydantic", "torch", "typer"}
    assert set(done.stdout.split()) & heavy == set()


@pytest.mark.skipif(sys.platform != "linux", reason="no server here")
@pytest.mark.parametrize(("workers", "timeout"), [(2, None), (1, 60.0)])
def test_nothing_is_started_where_one_process_will_do(workers: int, timeout: float | None) -> None:
    program = (
        "import os\n"
        "from pathlib import Path\n"
        "from dltune.search.executors.build import start_early\n"
        "def children():\n"
        "    stats = [path.read_text() for path in Path('/proc').glob('[0-9]*/stat')]\n"
        "    parents = [one.rpartition(')')[2].split()[1] for one in stats]\n"
        "    return parents.count(str(os.getpid()))\n"
        "start_early(1, trials=4, trial_timeout=None)\n"
        "start_early(2, trials=1, trial_timeout=None)\n"
        "assert children() == 0\n"
        f"start_early({workers}, trials=2, trial_timeout={timeout})\n"
        "assert children() == 2\n"  # multiprocessing's own, and the server
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path.cwd())
