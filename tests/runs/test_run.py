"""Reading a run: finding it, what is in it, and what is said of one that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dltune.errors import RunFolderError
from dltune.runs.about import FORMAT
from dltune.runs.folder import RunFolder
from dltune.runs.run import find_run, load_run, run_folders
from tests.search.made_up import about, append, finished, opened
from tests.search.recipes import small


def write_run(path: Path, *numbers: int) -> Path:
    folder = RunFolder.create(path, small(), about())
    append(folder, *(finished(small(), number, 0.5) for number in numbers))
    folder.close()
    return path


def refusal_of(run: str | Path, runs_dir: Path) -> str:
    with pytest.raises(RunFolderError) as refusal:
        find_run(run, runs_dir=runs_dir)
    return str(refusal.value)


class TestFinding:
    def test_by_name_and_by_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = write_run(tmp_path / "runs" / "digits-1")
        monkeypatch.chdir(tmp_path)
        assert find_run("digits-1", runs_dir=Path("runs")).resolve() == folder
        assert find_run("runs/digits-1", runs_dir=Path("elsewhere")).resolve() == folder

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        runs = tmp_path / "runs"
        for name in ("digits-1", "housing"):
            write_run(runs / name)
        assert refusal_of("digit-1", runs) == (
            f"there is no run digit-1, neither as a folder nor in {runs}\n"
            f"Did you mean digits-1? Runs in {runs}: digits-1, housing."
        )
        assert refusal_of("xyz", tmp_path / "nowhere") == (
            f"there is no run xyz, neither as a folder nor in {tmp_path / 'nowhere'}\n"
            f"Runs in {tmp_path / 'nowhere'}: none."
        )

    def test_many_runs_are_not_all_named(self, tmp_path: Path) -> None:
        for number in range(10):
            write_run(tmp_path / f"run-{number}")
        named = ", ".join(f"run-{number}" for number in range(8))
        assert refusal_of("xyz", tmp_path).endswith(f"Runs in {tmp_path}: {named} and 2 more.")

    def test_a_file_is_no_run(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path / "a")
        file = folder / "trials.csv"
        assert refusal_of(file, tmp_path) == (
            f"{file} is a file: a run is a folder with a study.journal in it\n"
            f"Name its folder: {folder}."
        )
        recipe = tmp_path / "recipe.toml"
        recipe.touch()
        assert refusal_of(recipe, tmp_path) == (
            f"{recipe} is a file: a run is a folder with a study.journal in it\n"
            f"Runs in {tmp_path}: a."
        )

    def test_what_is_being_made_and_other_folders_are_left_out(self, tmp_path: Path) -> None:
        write_run(tmp_path / "a")
        write_run(tmp_path / "b").rename(tmp_path / ".b.new-0123")
        (tmp_path / "c").mkdir()
        (tmp_path / "d").touch()
        assert run_folders(tmp_path) == [tmp_path / "a"]
        assert run_folders(tmp_path / "nowhere") == []


def change_journal(path: Path, before: str, after: str) -> None:
    journal = path / "study.journal"
    text = journal.read_text()
    assert before in text
    journal.write_text(text.replace(before, after))


def test_a_format_of_the_future_is_refused(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", 0)
    change_journal(path, f'{{"format": {FORMAT}}}', f'{{"format": {FORMAT + 1}}}')
    with pytest.raises(RunFolderError) as refused:
        load_run(path)
    assert str(refused.value) == (
        f"{path} has format {FORMAT + 1}; this dltune reads up to {FORMAT}\n"
        "Install the newest dltune: pip install -U dltune."
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"metric": "dev_error"}', '{"other": 1}'),
        ('"sessions": [{', '"sessions": [{"unknown": 1, '),
        ('{"data": {', '{"data": [], "was": {'),
    ],
    ids=["an attribute is missing", "an unknown field", "of another kind"],
)
def test_attributes_that_are_not_ours_are_told(tmp_path: Path, before: str, after: str) -> None:
    path = write_run(tmp_path / "run", 0)
    change_journal(path, before, after)
    with pytest.raises(RunFolderError) as refused:
        load_run(path)
    assert refused.value.found.startswith(
        f"{path / 'study.journal'}: damaged, or not of a dltune study ("
    )


class TestResult:
    """What a command that trains no trials leaves."""

    def test_it_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        folder = RunFolder.create(tmp_path / "run", small(), about(0, command="lr-find"))
        folder.write_result({"rate": 0.01, "name": "größer"}, "a text")
        folder.close()
        stored = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
        assert stored == {"format": 1, "rate": 0.01, "name": "größer"}
        assert load_run(tmp_path / "run").result() == {"rate": 0.01, "name": "größer"}
        assert (tmp_path / "run" / "result.txt").read_text() == "a text\n"

    def test_a_search_has_none(self, tmp_path: Path) -> None:
        assert load_run(write_run(tmp_path / "run", 0)).result() is None

    def test_a_damaged_one_is_told(self, tmp_path: Path) -> None:
        folder = RunFolder.create(tmp_path / "run", small(), about(0, command="lr-find"))
        folder.close()
        (tmp_path / "run" / "result.json").write_text("{")
        with pytest.raises(RunFolderError) as refused:
            load_run(tmp_path / "run").result()
        assert refused.value.found.startswith(f"{tmp_path / 'run' / 'result.json'}: damaged (")
        assert refused.value.hint == "Run dltune lr-find again."


def test_trials_of_mended_code_count_once(tmp_path: Path) -> None:
    from dltune.runs.about import Session
    from dltune.training.history import TrialState

    path = tmp_path / "run"
    folder = RunFolder.create(path, small(), about())
    append(
        folder,
        finished(small(), 0, None, TrialState.FAILED, "user model: no"),
        finished(small(), 1, None, TrialState.DIVERGED, "non-finite loss in epoch 1"),
    )
    folder.close()
    again = Session(command_line="", started="", mended=("net.py has changed",))
    folder = RunFolder.open(path, lambda run: again)
    assert folder.trials == {}
    assert load_run(path).trials == ()
    folder.close()  # killed before it has trained any
    folder = opened(path)
    assert folder.trials == {}
    append(folder, finished(small(), 0, 0.25))
    folder.close()
    run = load_run(path)
    assert [(one.number, one.state.value, one.session) for one in run.trials] == [
        (0, "complete", 2)
    ]
    assert len(run.trials[0].history) == 2
