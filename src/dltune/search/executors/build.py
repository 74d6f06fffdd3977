"""From the options of a search to an executor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dltune.errors import UsageError
from dltune.search.data_shelf import DataShelf
from dltune.search.executors import machine
from dltune.search.executors.machine import WorkersOption
from dltune.search.executors.protocol import Executor
from dltune.search.plan import STACK_FILE, PlanBook, StackOption


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
) -> Executor:
    """The executor for a study, with its processes on their way.

    shelf          where the data come from.
    folder         of the run: a model factory is looked up from it, and `stack.json` kept in it.
    trials         that are still to be trained.
    device         `train.device` of the recipe.
    code_folders   below which Python files are the user's.
    workers        processes; 1 trains in this one, which then loads torch.
    stack          "auto" measures once for each shape, "off" trains one after another, a number
                   makes stacks of at most so many trials without measuring.
    trial_timeout  seconds that a trial may train; None: no limit.

    Raises UsageError for a number that makes no sense, RunFolderError if `stack.json` is damaged.
    """
    check_options(workers=workers, stack=stack, trial_timeout=trial_timeout)
    book = PlanBook(folder / STACK_FILE, stack)
    count = machine.worker_count(workers, device=device, trials=trials)
    if count == 1:
        from dltune.search.executors.this_machine import InProcess

        return InProcess(
            shelf, folder, book=book, code_folders=code_folders, trial_seconds=trial_timeout
        )
    from dltune.search.executors.pool import WorkerPool

    pool = WorkerPool(
        shelf,
        folder,
        workers=count,
        book=book,
        cores=machine.cores(),
        gpus=machine.gpus(device),
        code_folders=code_folders,
        trial_seconds=trial_timeout,
    )
    pool.start()
    return pool


def check_options(
    *, workers: WorkersOption, stack: StackOption, trial_timeout: float | None
) -> None:
    """Raise UsageError for a number of workers, a size of stacks or a time that makes no sense."""
    machine.worker_count(workers, device="cpu", trials=1)
    if isinstance(stack, int) and stack < 1:
        raise UsageError(f"--stack {stack}: must be at least 1", hint="Try --stack auto.")
    if trial_timeout is not None and not trial_timeout > 0:
        raise UsageError(
            f"--trial-timeout {trial_timeout:g}: must be more than 0 seconds",
            hint="Try --trial-timeout 600.",
        )
