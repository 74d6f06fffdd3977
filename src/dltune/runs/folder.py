"""The one writer of a run folder.

Trials are written when they end, in whatever order that is, so that none is lost for waiting for a
slower neighbour. A block of them is written in this order: the user's code, `history.csv`, the
weights if the best is among them (under the trial's own name), `study.journal`, `trials.csv`, and
with a new best its weights (by renaming) and `best.toml`. The journal decides: a trial is done when
it is in there. A kill -9 between two files leaves history rows or weights of a trial that will be
trained again to the same end, or files that lack what the journal has; opening the folder for a
resume brings all of them up to the journal, and nothing is lost or repeated.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dltune.errors import RunFolderError
from dltune.recipe.files import parse_recipe, reference_places
from dltune.recipe.recipe import Recipe, recipe_text_with
from dltune.recipe.whole_file import replace_file
from dltune.runs.about import FORMAT, About, Session
from dltune.runs.checkpoint import FOLDER, BestWeights, PackedCheckpoint
from dltune.runs.csv_files import TrialsCsv, columns_of, sort_rows
from dltune.runs.history_csv import append_history, start_history
from dltune.runs.lock import FolderLock, check_free, new_folder
from dltune.runs.provenance import code_name, hash_of_bytes, now
from dltune.runs.rebuild import rewrite_csv
from dltune.runs.run import (
    BEST_RECIPE,
    CODE,
    HISTORY,
    RECIPE,
    RESULT,
    RESULT_TEXT,
    TRIALS,
    Run,
    check_is_run_folder,
    load_run,
    read_study,
    storage_of,
)
from dltune.training.history import TrialRecord, better

# A comment, since a recipe has the keys of its schema and no others.
RECIPE_FORMAT = f"# dltune recipe, format {FORMAT}\n"


def new_run_path(runs_dir: Path, *, name: str | None, stem: str) -> Path:
    """Where a new study goes: `runs_dir/name`, or the first free of stem-1, stem-2, ...

    name  as given with --name; None to find one.
    stem  of the recipe's file name.

    Raises RunFolderError if the name is no folder name, or is taken.

    >>> new_run_path(Path("no-such-folder"), name=None, stem="digits").as_posix()
    'no-such-folder/digits-1'
    """
    if name is None:
        numbers = iter(range(1, 1 + len(list(runs_dir.glob("*"))) + 1))
        return next(
            path for number in numbers if not (path := runs_dir / f"{stem}-{number}").exists()
        )
    if name.startswith((".", "-")) or Path(name).name != name or not name.isprintable() or not name:
        raise RunFolderError(
            f"--name {name!r}: must be the name of one folder, without slashes or control "
            "characters, and with no dot or hyphen in front",
            hint="Use --runs-dir for the place: --runs-dir my/runs --name first.",
        )
    check_free(runs_dir / name)
    return runs_dir / name


class RunFolder:
    """The writing side of a run folder; `create` or `open` it, and `close` it.

    path    of the folder.
    recipe  as stored in it: file references hold from the folder.
    about   what the run is.
    trials  those that are done, by number, without histories; numbers may be missing between them.
    best    of them; None while no trial is complete.
    notes   lines about what was done when the folder was opened.
    """

    def __init__(self, path: Path, recipe: Recipe, about: About, lock: FolderLock) -> None:
        self.path, self.recipe, self.about = path, recipe, about
        self.trials: dict[int, TrialRecord] = {}
        self.best: TrialRecord | None = None
        self.notes: list[str] = []
        self._lock = lock
        self._storage = storage_of(path)
        self._weights = BestWeights(path)
        self._trials_csv = TrialsCsv(path / TRIALS, columns_of(recipe))

    @classmethod
    def create(cls, path: Path, recipe: Recipe, about: About) -> RunFolder:
        """Start a run folder, which appears in one piece.

        recipe  already relocated to `path`.
        about   with the session that begins.

        Raises RunFolderError if the folder is not empty or another process writes in it.
        """
        with new_folder(path) as (unfinished, lock):
            replace_file(unfinished / RECIPE, _with_format(recipe.text))
            (unfinished / FOLDER).mkdir()
            start_history(unfinished / HISTORY)
            TrialsCsv(unfinished / TRIALS, columns_of(recipe)).rewrite([])
            storage_of(unfinished, name=path.name).create(about.to_attributes())
        return cls(path, recipe, about, lock)

    @classmethod
    def open(cls, path: Path, begin: Callable[[Run], Session]) -> RunFolder:
        """Open a run folder to go on with it; the CSV files are rebuilt from the journal.

        begin  is shown the run, and gives the session that begins, or raises: nothing is written
               then. Nobody else writes meanwhile.

        Raises RunFolderError if there is none, it is damaged, or another process writes in it.
        """
        check_is_run_folder(path)
        lock = FolderLock(path)
        try:
            run = load_run(path, histories="none")
            session = begin(run)
            storage = storage_of(path)
            storage.recover()
            sessions = (*run.about.sessions, session)
            storage.update({"sessions": [dataclasses.asdict(one) for one in sessions]})
            about, trials = read_study(storage, path)
            folder = cls(path, run.recipe, about, lock)
            folder.notes = rewrite_csv(path, folder._trials_csv, trials)
            folder._take(trials)
            best = None if folder.best is None else folder.best.number
            folder._weights.choose(best, is_new=False)
            folder._write_best_recipe()
        except BaseException:
            lock.release()
            raise
        return folder

    @property
    def session(self) -> Session:
        """The session that writes."""
        return self.about.sessions[-1]

    @property
    def code_folders(self) -> list[Path]:
        """Below which Python files are the user's: the recipe's folder, and those it names."""
        named = [reference for _, reference in reference_places(self.recipe.table)]
        files = [one.rpartition(":")[0] for one in named if ".py:" in one]
        folders = [self.about.origin, *(str(PurePosixPath(file).parent) for file in files)]
        return [(self.path / folder).resolve() for folder in dict.fromkeys(folders)]

    def want(self, trials: int) -> None:
        """Change how many trials are wanted."""
        self._storage.update({"trials": trials})
        self.about = dataclasses.replace(self.about, trials=trials)

    def note(self, **fields: Any) -> None:
        """Change fields of the session that writes."""
        session = dataclasses.replace(self.session, **fields)
        if session != self.session:
            sessions = (*self.about.sessions[:-1], session)
            self.about = dataclasses.replace(self.about, sessions=sessions)
            self._storage.update({"sessions": [dataclasses.asdict(one) for one in sessions]})

    def keep_code(self, files: Mapping[Path, bytes]) -> dict[str, str]:
        """Copy the user's files into the run; SHA-256 by name, those of earlier calls included.

        files  the contents by path, as the processes that train have imported them.

        The files of the first session lie in `code/`, those that a later one has otherwise in
        `code/session-N/`: the weights of an earlier trial need the earlier file.
        """
        hashes = dict(self.session.code)
        for path, content in files.items():
            name = code_name(path, self.path / self.about.origin)
            hashes[name] = hash_of_bytes(content)
            known = [session.code.get(name) for session in self.about.sessions]
            if hashes[name] not in known:
                number = len(self.about.sessions) - 1
                place = self.path / CODE / (f"session-{number}" if any(known) else "")
                target = place.joinpath(*_inside(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                replace_file(target, content)
        return hashes

    def append(
        self, trials: Sequence[TrialRecord], checkpoints: Mapping[int, PackedCheckpoint]
    ) -> None:
        """Write finished trials, in any order; none of them may be in the folder already.

        checkpoints  by number; needed of no trial but the best.
        """
        number = len(self.about.sessions) - 1
        trials = [dataclasses.replace(trial, session=number) for trial in trials]
        append_history(self.path / HISTORY, (one for trial in trials for one in trial.history))
        before = best = self.best
        for trial in trials:
            best = better(best, trial)
        if best is not None and best is not before and best.number in checkpoints:
            self._weights.write(best.number, checkpoints[best.number])
        self._storage.append(trials, self.recipe.space)
        # Not before: after a failed write (a full disk) these trials do not count.
        self._take(trials)
        self._trials_csv.append(trials)
        if self.best is not None and self.best is not before:
            self._weights.choose(self.best.number, is_new=True)
            self._write_best_recipe()

    def append_interrupted(self, trials: Sequence[TrialRecord]) -> None:
        """Add rows to `trials.csv` for trials that were cut off.

        They are not in the journal: a resume trains them again, with the same values and seeds.
        """
        self._trials_csv.append(trials)

    def write_result(self, document: Mapping[str, Any], text: str) -> None:
        """Keep what a command that trains no trials has come to, as JSON and as it was shown."""
        content = json.dumps({"format": FORMAT, **document}, indent=2, ensure_ascii=False)
        replace_file(self.path / RESULT_TEXT, text + "\n")
        replace_file(self.path / RESULT, content + "\n")

    def sort(self) -> None:
        """Put the rows of both CSV files in order of number."""
        for name in (TRIALS, HISTORY):
            sort_rows(self.path / name)

    def end(self, ending: str) -> None:
        """Note how the session ended, and when."""
        self.note(ended=now(), ending=ending)

    def close(self) -> None:
        """Let others write in the folder."""
        self._lock.release()

    def _take(self, trials: Iterable[TrialRecord]) -> None:
        for trial in trials:
            bare = trial.without_history()
            self.trials[bare.number] = bare
            self.best = better(self.best, bare)

    def _write_best_recipe(self) -> None:
        if self.best is not None:
            metric = f"{self.about.metric} {self.best.objective!r}"
            title = f"# Trial {self.best.number} of {self.path.name}: {metric}\n"
            fixed = recipe_text_with(self.recipe, self.best.values)
            # With the trial's own seed: `dltune train best.toml` trains this very trial again.
            seed = f"train.seed={self.best.seed}"
            text = parse_recipe(fixed, folder=self.path, overrides=[seed]).text
            replace_file(self.path / BEST_RECIPE, title + _with_format(text))


def _with_format(text: str) -> str:
    return text if RECIPE_FORMAT in text else RECIPE_FORMAT + text


def _inside(name: str) -> tuple[str, ...]:
    """The parts of a file's place below `code/`; what lies outside of the recipe's folder too.

    >>> _inside("../nets/net.py")
    ('up', 'nets', 'net.py')
    >>> _inside("up/nets/net.py")
    ('up_', 'nets', 'net.py')
    """
    parts = PurePosixPath(name.replace(":", "")).parts
    own = (f"{part}_" if re.fullmatch("up_*", part) else part for part in parts if part != "/")
    return tuple("up" if part == ".." else part for part in own)
