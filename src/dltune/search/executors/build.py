"""From the options of a search, and what this machine has, to an executor.

This module is light: a command starts its workers before it imports what it needs itself. What the
machine has is found out without torch, which takes a second to load.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dltune.data.machine import cores
from dltune.errors import UsageError
from dltune.search.executors.processes import start_server

if TYPE_CHECKING:
    from dltune.search.data_shelf import DataShelf
    from dltune.search.executors.protocol import Executor
    from dltune.search.plan import StackOption

NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")  # of the Linux driver: one folder for each

WorkersOption = Literal["auto"] | int
"""One for each GPU or core, or so many."""


def start_early(workers: WorkersOption, *, trials: int | None, trial_timeout: float | None) -> None:
    """Begin to load torch for worker processes; returns at once.

    workers, trials, trial_timeout  as for `build_executor`, which goes on from here; None for an
                                    unknown number of trials. Where one process will do, nothing
                                    happens.

    To be called in the main thread.
    """
    auto = workers == "auto" and cores() > 1 and len(gpus("auto")) != 1
    several = trials != 1 and (auto or (workers != "auto" and workers > 1))
    if several or trial_timeout is not None:
        start_server()


def build_executor(
    shelf: DataShelf,
    folder: Path,
    *,
    trials: int,
    device: str,
    code_folders: Sequence[Path] = (),
    workers: WorkersOption = "auto",
    stack: StackOption = "auto",
    trial_timeout: float | None = None,
    users_model: bool = False,
) -> Executor:
    """The executor for a study, with its processes on their way.

    shelf          where the data come from.
    folder         of the run: a model factory is looked up from it, and `stack.json` kept in it.
    trials         that are still to be trained.
    device         `train.device` of the recipe.
    code_folders   below which Python files are the user's.
    workers        processes; 1 trains in this one, which then loads torch, unless there is a
                   limit or a model of the user's: nothing can stop a training in this process,
                   and code that ends its process would end the study.
    stack          "auto" measures once for each shape, "off" trains one after another, a number
                   makes stacks of at most so many trials without measuring.
    trial_timeout  seconds that a trial may train; None: no limit.
    users_model    whether a factory of the user's makes the models.

    The options must have passed `check_options`. Raises RunFolderError if `stack.json` is damaged.
    """
    from dltune.search.plan import STACK_FILE, PlanBook

    book = PlanBook(folder / STACK_FILE, stack)
    count = worker_count(workers, device=device, trials=trials)
    if count == 1 and trial_timeout is None and not users_model:
        from dltune.search.executors.in_process import InProcess

        return InProcess(shelf, folder, book=book, code_folders=code_folders)
    from dltune.search.executors.pool import WorkerPool

    pool = WorkerPool(
        shelf,
        folder,
        workers=count,
        book=book,
        cores=cores(),
        gpus=gpus(device),
        code_folders=code_folders,
        trial_seconds=trial_timeout,
        users_model=users_model,
    )
    pool.start()
    return pool


def check_options(
    *, workers: WorkersOption, stack: StackOption, trial_timeout: float | None
) -> None:
    """Raise UsageError for a number of workers, a size of stacks or a time that makes no sense."""
    worker_count(workers, device="cpu", trials=1)
    if isinstance(stack, int) and stack < 1:
        raise UsageError(f"--stack {stack}: must be at least 1", hint="Try --stack auto.")
    if trial_timeout is not None and not trial_timeout > 0:
        raise UsageError(
            f"--trial-timeout {trial_timeout:g}: must be more than 0 seconds",
            hint="Try --trial-timeout 600.",
        )


def gpus(device: str) -> list[str]:
    """The GPUs that a training on this device would find, as CUDA_VISIBLE_DEVICES names them.

    device  `train.device` of the recipe; "auto" means CUDA where there is any.

    Empty for another device, and where torch was built without CUDA.
    """
    if device not in ("auto", "cuda") or not torch_has_cuda():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number in range(_gpu_count())]


def _gpu_count() -> int:
    if NVIDIA_GPUS.is_dir():
        return len(list(NVIDIA_GPUS.iterdir()))
    # Windows, and Linux inside of it.
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def torch_has_cuda() -> bool:
    """Whether torch was built for CUDA, by the file in which its build has noted so."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    version = Path(found.origin).with_name("version.py")
    return version.exists() and bool(
        re.search(r"^cuda\b.*= *['\"]\d", version.read_text(encoding="utf-8"), re.MULTILINE)
    )


def worker_count(option: WorkersOption, *, device: str, trials: int) -> int:
    """How many processes are to train.

    option  "auto" is one for each GPU if that is where is trained, else one for each core.
    device  `train.device` of the recipe.
    trials  that there are; more workers than that have nothing to do.

    Raises UsageError for a number below 1.

    >>> worker_count(8, device="cpu", trials=3), worker_count("auto", device="mps", trials=9)
    (3, 1)
    """
    if option == "auto":
        wanted = len(gpus(device)) or (1 if on_apple_gpu(device) else cores())
    elif option < 1:
        raise UsageError(f"--workers {option}: must be at least 1", hint="Try --workers auto.")
    else:
        wanted = option
    return max(1, min(wanted, trials))


def on_apple_gpu(device: str) -> bool:
    """Whether a training on this device uses Apple's GPU, of which there is one."""
    on_apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return device == "mps" or (device == "auto" and on_apple)
