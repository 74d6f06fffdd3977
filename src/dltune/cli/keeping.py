"""The run folder of what this very process does: a training, or with --name what a finder finds."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltune.cli import output
from dltune.errors import FolderTakenError, RunFolderError, UsageError

if TYPE_CHECKING:  # they import pydantic or torch, which help and completion must not wait for
    from dltune.data.dataset import Dataset
    from dltune.lr.find import Loaded
    from dltune.recipe.recipe import Recipe
    from dltune.recipe.schema import Config
    from dltune.runs.about import Session
    from dltune.runs.folder import RunFolder
    from dltune.runs.run import Run
    from dltune.search.data_shelf import DataShelf


def claim(runs_dir: Path, name: str | None, stem: str, *, without: str) -> Path:
    """Where a new run goes; a folder of that name that was killed with nothing in it makes room.

    stem     of the recipe's file name: what the folder is called without a name.
    without  a name, what happens, for the advice.

    Raises RunFolderError if the name is no folder name, or is taken.
    """
    from dltune.runs.new_run import new_run_path, remove_if_killed

    try:
        if name is not None and (command := remove_if_killed(runs_dir / name)):
            what = "training" if command == "train" else command
            output.say(f"{runs_dir / name}: its {what} was killed and kept nothing; used again")
        return new_run_path(runs_dir, name=name, stem=stem)
    except FolderTakenError as taken:  # its advice is about searches, which can be resumed
        hint = f"Give another --name, or none: {without}."
        if name is not None and _can_go_on(runs_dir / name):
            hint += f" To go on with it: {resume_command(runs_dir / name)}"
        raise FolderTakenError(taken.found, hint=hint) from None


def _say_what_is_kept(path: Path) -> None:
    """After an end at once."""
    if not path.exists():
        output.say(f"stopped at once; nothing is kept in {path}")
    elif _can_go_on(path):
        output.say(f"stopped at once; go on with: {resume_command(path)}")


def resume_command(path: Path) -> str:
    """What goes on with the training in a run folder.

    >>> resume_command(Path("runs/first"))
    'dltune train --resume --name first'
    >>> resume_command(Path("my/first"))
    'dltune train --resume --name first --runs-dir my'
    """
    where = "" if path.parent == Path("runs") else f" --runs-dir {shlex.quote(str(path.parent))}"
    return f"dltune train --resume --name {shlex.quote(path.name)}{where}"


def _can_go_on(path: Path) -> bool:
    """Whether a folder is of a training with a checkpoint that is not over."""
    from dltune.runs.run import load_run

    try:
        run = load_run(path, histories="none")
    except RunFolderError:
        return False
    has_checkpoint = any((path / "checkpoints").glob("training-*"))
    return has_checkpoint and run.about.command == "train" and not run.done


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeptRun:
    """A run folder that is being filled, and the data of its command.

    recipe  as it was given, not as it lies in the folder.
    """

    folder: RunFolder
    recipe: Recipe
    shelf: DataShelf

    def dataset(self, config: Config) -> Dataset:
        """The data set of a config of the recipe; DataError if it cannot be loaded."""
        return load_into(self.shelf, config, self.recipe, self.folder.path)

    def note_conditions(self, config: Config) -> None:
        """Keep on which data, with which code and on what the command has worked."""
        import torch

        from dltune.data.device import resolve_device
        from dltune.runs.provenance import imported_files

        self.folder.note(
            data=dict(self.shelf.hashes),
            code=self.folder.keep_code(imported_files(self.folder.code_folders)),
            threads=torch.get_num_threads(),
            device=str(resolve_device(config.train)),
        )


def load_into(shelf: DataShelf, config: Config, recipe: Recipe, path: Path) -> Dataset:
    """The data set of a config; the shelf names its file as it is called from the run folder.

    recipe  that the config is of, as it was given.
    path    of the run folder, which may not be there yet.
    """
    from dltune.recipe.files import relocate_config

    kept = relocate_config(config, recipe.folder, path)
    return shelf.load(kept.data, typed=config.data, folder=recipe.folder)


@contextlib.contextmanager
def keep_run(
    path: Path, recipe: Recipe, config: Config, *, command: str, note: str, trials: int = 0
) -> Iterator[KeptRun]:
    """Load the data, and keep a run while the block lasts; none is left if it comes to nothing.

    config  the recipe's, or one of its ranges.
    note    the user's.
    trials  that the command will train.

    Raises DataError if the data cannot be loaded, RunFolderError if the folder is taken.
    """
    from dltune.recipe.files import relocate
    from dltune.runs.new_run import new_run
    from dltune.runs.provenance import about_run
    from dltune.search.data_shelf import DataShelf
    from dltune.search.interrupts import interruptible

    shelf = DataShelf(path)
    with output.users_code():
        dataset = load_into(shelf, config, recipe, path)
    about = about_run(
        recipe,
        path,
        dataset,
        shelf.hashes,
        command=command,
        config=config,
        note=note,
        trials=trials,
    )
    try:
        with interruptible(), new_run(path, relocate(recipe, path), about) as folder:
            yield KeptRun(folder=folder, recipe=recipe, shelf=shelf)
    except KeyboardInterrupt:
        _say_what_is_kept(path)
        raise


def check_is_unfinished_training(run: Run) -> None:
    """Raise RunFolderError unless `dltune train --resume` can go on with this run."""
    if run.about.command != "train":
        raise RunFolderError(
            f"{run.path} is a {run.about.command}, and dltune train goes on with trainings",
            hint=f"Type dltune {run.about.command} --resume --name {shlex.quote(run.path.name)}.",
        )
    if run.done:
        raise RunFolderError(
            f"{run.path} is over after {run.done[0].epochs} epochs: {run.done[0].state.value}",
            hint=f"More epochs: dltune train --fork {shlex.quote(str(run.path))} --set "
            f"train.epochs={2 * run.recipe.config().train.epochs}.",
        )


@contextlib.contextmanager
def reopen_run(path: Path, note: str, *, accept: bool) -> Iterator[KeptRun]:
    """Go on in the run folder of a training while the block lasts.

    note    the user's, about this session.
    accept  whether changes of data, code or torch are accepted.

    Raises RunFolderError if it is no training, is over, or cannot go on as it began.
    """
    from dltune.recipe.files import names_file
    from dltune.runs.folder import RunFolder
    from dltune.runs.provenance import begin_session
    from dltune.runs.resume import check_same_conditions
    from dltune.search.data_shelf import DataShelf
    from dltune.search.interrupts import interruptible

    shelf = DataShelf(path)

    def begin(run: Run) -> Session:
        check_is_unfinished_training(run)
        if all(map(names_file, run.about.data_hashes)):
            # Before they are loaded, as other files may not even be such data.
            check_same_conditions(run, {}, accept=accept)
        with output.users_code():
            load_into(shelf, run.recipe.config(), run.recipe, path)
        changes = check_same_conditions(run, shelf.hashes, accept=accept)
        return begin_session(path / run.about.origin, note=note, **changes)

    try:
        with interruptible(), contextlib.closing(RunFolder.open(path, begin)) as folder:
            yield KeptRun(folder=folder, recipe=folder.recipe, shelf=shelf)
    except KeyboardInterrupt:
        _say_what_is_kept(path)
        raise


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResultKeeper:
    """Where a finder keeps what it has come to.

    run  None without --name: its files are then all there is.
    """

    run: KeptRun | None = None

    def load(self, config: Config) -> Loaded | None:
        """The data of a config, which the run's hashes are of; None leaves it to the finder."""
        from dltune.lr.find import on_device

        return None if self.run is None else on_device(self.run.dataset(config), config)

    def places(self, given: Path | None, name: str) -> list[Path]:
        """Where to write a file of that name: the place that the user gave, and the run folder.

        >>> [path.as_posix() for path in ResultKeeper().places(None, "lr_find.csv")]
        ['lr_find.csv']
        """
        kept = [] if self.run is None else [self.run.folder.path / name]
        if given is None:
            return kept or [Path(name)]
        return [given, *kept]

    def keep(self, config: Config, document: Mapping[str, Any], text: str) -> None:
        """Keep the result, if there is a run to keep it in.

        document  what --json prints.
        text      what is shown without it, in 80 columns and no colour.
        """
        if self.run is None:
            return
        from dltune.search.interrupts import Interrupts

        with Interrupts():  # the writing is not cut off
            self.run.note_conditions(config)
            self.run.folder.write_result(output.to_json(document), text)
            self.run.folder.end("complete")
        output.say(f"{self.run.folder.path} keeps the result")


KeepResult = Callable[["Config"], AbstractContextManager[ResultKeeper]]


def result_keeper(
    name: str | None, runs_dir: Path, recipe: Recipe, *, command: str, note: str
) -> KeepResult:
    """What keeps a result under a name, which is claimed at once; without one, what keeps nothing.

    Raises RunFolderError if the name is no folder name, or is taken; UsageError for a note without
    a name.
    """
    if name is None:
        if note:
            raise UsageError(
                "--note: it is kept in a run folder, and none is written without --name",
                hint="Add --name and a name.",
            )
        return lambda config: contextlib.nullcontext(ResultKeeper())
    path = claim(runs_dir, name, name, without="no run folder is written then")
    return functools.partial(_keeper, path, recipe, command=command, note=note)


@contextlib.contextmanager
def _keeper(
    path: Path, recipe: Recipe, config: Config, *, command: str, note: str
) -> Iterator[ResultKeeper]:
    with keep_run(path, recipe, config, command=command, note=note) as run:
        yield ResultKeeper(run=run)
