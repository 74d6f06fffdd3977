"""A write that the system refuses leaves no gap in the journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltune.recipe.files import relocate
from dltune.runs.folder import RunFolder
from dltune.runs.run import JOURNAL, load_run
from dltune.training.history import TrialState
from tests.search.made_up import about, append, finished
from tests.search.recipes import small


def test_a_block_that_could_not_be_written_does_not_count(tmp_path: Path) -> None:
    path, recipe = tmp_path / "run", small()
    folder = RunFolder.create(path, relocate(recipe, path), about())
    append(folder, *[finished(recipe, 0, 0.5)])
    journal = (path / JOURNAL).read_bytes()
    (path / JOURNAL).unlink()
    (path / JOURNAL).mkdir()  # the system refuses to write in it
    with pytest.raises(IsADirectoryError):
        append(folder, *[finished(recipe, 1, 0.25)])
    assert list(folder.trials) == [0]
    assert folder.best == folder.trials[0]
    (path / JOURNAL).rmdir()
    (path / JOURNAL).write_bytes(journal)
    append(folder, *[finished(recipe, 1, 0.125)])
    folder.close()
    stored = [(one.number, one.objective, one.state) for one in load_run(path).trials]
    assert stored == [(0, 0.5, TrialState.COMPLETE), (1, 0.125, TrialState.COMPLETE)]
