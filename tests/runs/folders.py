"""Run folders of made-up trials, each in a moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dltune.recipe.files import relocate
from dltune.recipe.recipe import Recipe
from dltune.runs.about import Session
from dltune.runs.folder import RunFolder
from dltune.runs.journal import JournalFile
from dltune.training.history import TrialState
from tests.search.made_up import about, append, finished
from tests.search.recipes import small

STARTED, ENDED = "2026-01-31T10:00:00+00:00", "2026-01-31T10:01:15+00:00"
OLD_STUDY = {
    "strategy": "random",
    "options": {},
    "seed": 0,
    "trials": 3,
    "metric": "dev_error",
    "examples": {"train": 106, "dev": 36, "test": 36},
}


def session(started: str = STARTED, ended: str | None = ENDED, **fields: Any) -> Session:
    told = {"command_line": "dltune search wine.toml", "ending": ended and "complete"}
    conditions = {"versions": {"torch": "2.6.0"}, "data": {"sklearn:wine#12": "a1" * 32}}
    return Session(**{"started": started, "ended": ended, **told, **conditions, **fields})


def make_run(
    path: Path,
    outcomes: Sequence[float | None] = (0.5, 0.25),
    *,
    recipe: Recipe | None = None,
    sessions: Sequence[Session] | None = None,
    **fields: Any,
) -> Path:
    """A run of trials with these dev errors; None for one that diverged."""
    recipe = recipe or small()
    told = {"trials": len(outcomes), "sessions": tuple(sessions or [session()]), **fields}
    folder = RunFolder.create(path, relocate(recipe, path), about(**told))
    trials = [
        finished(recipe, number, None, TrialState.DIVERGED, "non-finite loss")
        if error is None
        else finished(recipe, number, error)
        for number, error in enumerate(outcomes)
    ]
    if trials:
        append(folder, *trials)
    folder.close()
    return path


def make_old_run(path: Path) -> Path:
    """A folder as dltune left it before it noted sessions; none of its three trials is done."""
    path.mkdir(parents=True)
    (path / "recipe.toml").write_text(small().text)
    JournalFile(path / "study.journal", path.name).create(OLD_STUDY)
    return path


def damage(path: Path) -> Path:
    """The same run with a journal that is none any more."""
    (path / "study.journal").write_text('{"op_code": 4}\n')
    return path
