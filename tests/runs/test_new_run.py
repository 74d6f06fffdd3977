from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dltune.errors import FolderTakenError
from dltune.recipe.files import parse_recipe
from dltune.runs.about import About
from dltune.runs.lock import FolderLock
from dltune.runs.new_run import new_run, remove_if_killed
from dltune.runs.run import load_run
from dltune.training.history import TrialRecord, TrialState

TRIAL = TrialRecord(number=0, seed=0, state=TrialState.FAILED)


def begin(path: Path, keep: Callable | None = None, *, command: str = "lr-find") -> None:
    """A run that ends as a kill would end it, with what was kept until then."""
    recipe = parse_recipe('data.source = "sklearn:wine"', folder=path)
    with new_run(path, recipe, About(command=command)) as folder:
        if keep is not None:
            keep(folder)


KEPT = [
    pytest.param(lambda folder: folder.append([TRIAL], {}), id="a trial"),
    pytest.param(lambda folder: folder.write_result({}, ""), id="a result"),
]


class TestNewRun:
    def test_it_is_locked_while_the_block_lasts(self, tmp_path: Path) -> None:
        path = tmp_path / "run"

        def taken(folder: object) -> None:
            with pytest.raises(FolderTakenError):
                FolderLock(path)

        begin(path, taken)
        FolderLock(path).release()

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_without_anything_to_keep_it_goes(
        self, tmp_path: Path, error: type[BaseException]
    ) -> None:
        def fail(folder: object) -> None:
            raise error

        with pytest.raises(error):
            begin(tmp_path / "run", fail)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("keep", KEPT)
    def test_what_is_kept_stays(self, tmp_path: Path, keep: Callable) -> None:
        def fail(folder: object) -> None:
            keep(folder)
            raise RuntimeError

        with pytest.raises(RuntimeError):
            begin(tmp_path / "run", fail)
        assert load_run(tmp_path / "run").about.command == "lr-find"


class TestRemoveIfKilled:
    @pytest.mark.parametrize("command", ["train", "lr-find", "batch-find"])
    def test_it_goes_and_its_command_is_told(self, tmp_path: Path, command: str) -> None:
        begin(tmp_path / "run", command=command)
        assert remove_if_killed(tmp_path / "run") == command
        assert not (tmp_path / "run").exists()

    def test_a_search_stays(self, tmp_path: Path) -> None:
        """It can be gone on with."""
        begin(tmp_path / "run", command="search")
        assert remove_if_killed(tmp_path / "run") is None
        assert (tmp_path / "run").exists()

    @pytest.mark.parametrize("keep", KEPT)
    def test_what_has_kept_something_stays(self, tmp_path: Path, keep: Callable) -> None:
        begin(tmp_path / "run", keep)
        assert remove_if_killed(tmp_path / "run") is None
        assert (tmp_path / "run").exists()

    def test_what_is_written_in_stays(self, tmp_path: Path) -> None:
        begin(tmp_path / "run", lambda folder: remove_if_killed(tmp_path / "run"))
        assert (tmp_path / "run").exists()

    def test_what_is_no_run_stays(self, tmp_path: Path) -> None:
        assert remove_if_killed(tmp_path / "run") is None
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "recipe.toml").write_text("")
        assert remove_if_killed(tmp_path / "run") is None
        assert (tmp_path / "run" / "recipe.toml").exists()
