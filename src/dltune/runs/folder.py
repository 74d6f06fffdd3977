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

from dltune.recipe.files import parse_recipe
from dltune.recipe.recipe import Recipe, recipe_text_with
from dltune.recipe.replay import replay_of
from dltune.recipe.whole_file import replace_file
from dltune.runs.about import FORMAT, About, Session
from dltune.runs.checkpoint import FOLDER, BestWeights, PackedCheckpoint
from dltune.runs.csv_files import TrialsCsv, columns_of, sort_rows
from dltune.runs.history_csv import append_history, keep_history, start_history
from dltune.runs.lock import FolderLock, new_folder
from dltune.runs.provenance import code_folders, code_name, hash_of_bytes, now
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
from dltune.training.history import TrialRecord, TrialState, best_trials, better

# A comment, since a recipe has the keys of its schema and no others.
RECIPE_FORMAT = f"# dltune recipe, format {FORMAT}\n"


class RunFolder:
    """The writing side of a run folder; `create` or `open` it, and `close` it.

    path    of the folder.
    recipe  as stored in it: file references hold from the folder.
    about   what the run is.
    trials  those that are done, by number, without histories; numbers may be missing between them.
    interrupted  those that were cut off, likewise, with what they had come to.
    best    of both; None while there is none with an objective.
    notes   lines about what was done when the folder was opened.
    """

    def __init__(self, path: Path, recipe: Recipe, about: About, lock: FolderLock) -> None:
        self.path, self.recipe, self.about = path, recipe, about
        self.trials: dict[int, TrialRecord] = {}
        self.interrupted: dict[int, TrialRecord] = {}
        self._has_doubles = False  # in the CSV files: of trials that were interrupted before
        self.best: TrialRecord | None = None
        self._best_done: TrialRecord | None = None
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
            if folder.interrupted:  # else a kill would leave rows of both trainings of a trial
                folder._trials_csv.rewrite(folder.trials.values())
            folder._choose_best(is_new=folder.best is None)
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
        return code_folders(self.recipe, self.path, self.about.origin)

    def change(self, **fields: Any) -> None:
        """Change what the run is: how many trials are wanted, or what is known of its data."""
        self.about = dataclasses.replace(self.about, **fields)
        attributes = self.about.to_attributes()
        self._storage.update({name: attributes[name] for name in fields})

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

    def keep_conditions(self, files: Mapping[Path, bytes], *, threads: int, device: str) -> str:
        """Note what the trials about to be written were trained with; what of the user's code has
        changed while the session ran, in words, or nothing.

        files  as for `keep_code`.
        """
        before = self.session.code
        code = self.keep_code(files)
        changed = [name for name in before if code[name] != before[name]]
        text = f"{', '.join(changed)} changed while the search ran" if changed else ""
        accepted = (*self.session.accepted, text) if changed else self.session.accepted
        self.note(accepted=accepted, code=code, threads=threads, device=device)
        return text

    def append(
        self, trials: Sequence[TrialRecord], checkpoints: Mapping[int, PackedCheckpoint]
    ) -> None:
        """Write trials that are over, in any order; of those that are done already, only such as
        were pruned, and have been trained to their ends.

        An interrupted one that an earlier session had brought further stays as it was.

        checkpoints  by number; needed of no trial but the best, and the best that is done.
        """
        trials = [trial for trial in trials if not self._was_further(trial)]
        number = len(self.about.sessions) - 1
        trials = [dataclasses.replace(trial, session=number) for trial in trials]
        append_history(self.path / HISTORY, (one for trial in trials for one in trial.history))
        before = (self.best, self._best_done)
        for one in (self._best_with(trials), self._best_done_with(trials)):
            if one is not None and one not in before and one.number in checkpoints:
                self._weights.write(one.number, checkpoints[one.number])
        self._storage.append(trials, self.recipe.space)
        # Not before: after a failed write (a full disk) these trials do not count.
        self._take(trials)
        self._trials_csv.append(trials)
        if self.best is not before[0] or self._best_done is not before[1]:
            self._choose_best(is_new=self.best is not before[0])

    def write_result(self, document: Mapping[str, Any], text: str) -> None:
        """Keep what a command that trains no trials has come to, as JSON and as it was shown."""
        content = json.dumps({"format": FORMAT, **document}, indent=2, ensure_ascii=False)
        replace_file(self.path / RESULT_TEXT, text + "\n")
        replace_file(self.path / RESULT, content + "\n")

    def sort(self) -> None:
        """Put the rows of both CSV files in order of number, one for each trial or epoch."""
        if self._has_doubles or self.interrupted:
            everything = self.trials | self.interrupted
            self._trials_csv.rewrite(everything[number] for number in sorted(everything))
            keep_history(self.path / HISTORY, everything)
            self._has_doubles = False
        for name in (TRIALS, HISTORY):
            sort_rows(self.path / name)

    def end(self, ending: str) -> None:
        """Note how the session ended, and when."""
        self.note(ended=now(), ending=ending)

    def close(self) -> None:
        """Let others write in the folder."""
        self._lock.release()

    def _was_further(self, trial: TrialRecord) -> bool:
        known = self.interrupted.get(trial.number)
        if known is None or trial.state is not TrialState.INTERRUPTED:
            return False
        best = better(known, trial)
        return known.epochs > trial.epochs if best is None else best is known

    def _best_with(self, trials: Iterable[TrialRecord]) -> TrialRecord | None:
        """The best when these trials, which may have been interrupted before, are in the folder."""
        new = {trial.number: trial.without_history() for trial in trials}
        best = self.best
        if best is not None and best.number in new:
            known = self.trials | self.interrupted | new
            return next(iter(best_trials(known.values(), 1)), None)
        for trial in new.values():
            best = better(best, trial)
        return best

    def _best_done_with(self, trials: Iterable[TrialRecord]) -> TrialRecord | None:
        best = self._best_done
        for trial in trials:
            if trial.state is not TrialState.INTERRUPTED:
                best = better(best, trial.without_history())
        return best

    def _take(self, trials: Iterable[TrialRecord]) -> None:
        trials = [trial.without_history() for trial in trials]
        self.best, self._best_done = self._best_with(trials), self._best_done_with(trials)
        for trial in trials:
            again = trial.number in self.trials  # it had been pruned
            self._has_doubles |= again or self.interrupted.pop(trial.number, None) is not None
            was_cut = trial.state is TrialState.INTERRUPTED
            (self.interrupted if was_cut else self.trials)[trial.number] = trial

    def _choose_best(self, *, is_new: bool) -> None:
        """Let the weights and `best.toml` be those of the best.

        is_new  whether another trial was the best before.
        """
        best, done = self.best, self._best_done
        keep = None if done is None else done.number
        self._weights.choose(None if best is None else best.number, keep=keep, is_new=is_new)
        if best is None:
            (self.path / BEST_RECIPE).unlink(missing_ok=True)
            return
        title = f"# Trial {best.number} of {self.path.name}: {self.about.metric} {best.objective!r}"
        fixed = recipe_text_with(self.recipe, best.values, replay=replay_of(best.config))
        # With the trial's own seed: `dltune train best.toml` trains this very trial again.
        text = parse_recipe(fixed, folder=self.path, overrides=[f"train.seed={best.seed}"]).text
        replace_file(self.path / BEST_RECIPE, f"{title}\n{_with_format(text)}")


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
