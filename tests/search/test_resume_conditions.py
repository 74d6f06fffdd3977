"""A resume goes on only with what the study was trained on and with: data, code, torch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dltune.errors import RecipeError, RunFolderError, UsageError
from dltune.recipe.files import load_recipe
from dltune.recipe.recipe import Recipe
from dltune.runs.provenance import hash_of_bytes
from dltune.runs.run import Run, load_run
from dltune.search.events import Ending, EventKind, StudyEnd, StudyEvent
from dltune.training.history import TrialState
from tests.search.recipes import looped_study

NET = """\
from torch import nn
from layers import activation

def build(inputs, outputs, width):
    return nn.Sequential(nn.Linear(*inputs, width), activation(), nn.Linear(width, outputs))
"""
LAYERS = "from torch import nn\nactivation = nn.ReLU\n"
RECIPE = """\
[data]
source = "houses.csv"
target = "price"
[model]
factory = "net.py:build"
width = {int = [2, 9]}
[train]
epochs = 1
device = "cpu"
"""
LOAD = """\
import numpy as np
def load():
    x = np.arange(80.0).reshape(40, 2) % 7
    return x, x[:, 0] * 2 + x[:, 1]
"""
HINT = (
    "Put it back, or start a new study with another --name, or type --accept-changes: the run then "
    "says so."
)
GONE = "Put it back, or start a new study with another --name."


@pytest.fixture(name="place")
def fixture_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A process imports a module once, and here each test has one of that name.
    monkeypatch.delitem(sys.modules, "layers", raising=False)
    place = tmp_path / "project"
    place.mkdir()
    rows = [f"{40 + n},{1 + n % 5},{1000 * n + 7 * (n % 3)}" for n in range(60)]
    (place / "houses.csv").write_text("\n".join(["size,rooms,price", *rows]) + "\n")
    (place / "net.py").write_text(NET)
    (place / "layers.py").write_text(LAYERS)
    (place / "unused.py").write_text("raise ImportError\n")
    (place / "recipe.toml").write_text(RECIPE)
    return place


def recipe_in(place: Path) -> Recipe:
    return load_recipe(place / "recipe.toml")


def started(place: Path, trials: int = 2) -> Path:
    path = place / "runs" / "first"
    end = looped_study(recipe_in(place), path=path, trials=trials)
    assert end.ending is Ending.COMPLETE
    return path


def resumed(path: Path, trials: int = 3, *, accept_changes: bool = False) -> StudyEnd:
    return looped_study(None, path=path, trials=trials, resume=True, accept_changes=accept_changes)


def refusal_of(path: Path, *, hint: str = HINT, accept_changes: bool = False) -> str:
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(RunFolderError) as refused:
        resumed(path, trials=9, accept_changes=accept_changes)
    # Nothing is written by a resume that is refused.
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    assert refused.value.hint == hint
    start = f"{path} cannot go on as it began: "
    assert refused.value.found.startswith(start)
    return refused.value.found.removeprefix(start)


def test_what_a_run_was_trained_on_and_with_is_kept(place: Path) -> None:
    path = started(place)
    run = load_run(path)
    (session,) = run.about.sessions
    assert session.data == {"../../houses.csv": hash_of_bytes((place / "houses.csv").read_bytes())}
    assert session.code == {
        "net.py": hash_of_bytes(NET.encode()),
        "layers.py": hash_of_bytes(LAYERS.encode()),
    }
    kept = {file.name: file.read_text() for file in (path / "code").iterdir()}
    assert kept == {"net.py": NET, "layers.py": LAYERS}
    assert (session.device, session.ending) == ("cpu", "complete")
    assert session.threads is not None
    assert session.ended is not None
    assert session.started <= session.ended
    facts = run.about.data
    assert (facts.task, facts.class_names) == ("regression", ())
    assert facts.examples == {"train": 36, "dev": 12, "test": 12, "train_dev": None}
    (mean,), (scale,) = facts.target_mean, facts.target_scale
    prices = [1000 * n + 7 * (n % 3) for n in range(60)]
    assert min(prices) < mean < max(prices)
    assert 0 < scale < max(prices)
    assert run.trials[0].examples == {"train": 36, "curve": 36, "dev": 12, "test": 12}


def test_nothing_has_changed(place: Path) -> None:
    path = started(place)
    end = resumed(path)
    assert (end.ending, end.trained) == (Ending.COMPLETE, 1)
    assert load_run(path).accepted == []
    assert len(load_run(path).about.sessions) == 2


class TestRefused:
    def test_rows_appended_to_the_data(self, place: Path) -> None:
        path = started(place)
        with (place / "houses.csv").open("a") as stream:
            stream.write("99,2,5000\n")
        assert refusal_of(path) == f"{place / 'houses.csv'} has changed"

    def test_other_values_of_the_same_size(self, place: Path) -> None:
        path = started(place)
        table = place / "houses.csv"
        size = table.stat().st_size
        table.write_text(table.read_text().replace("41,2,1007", "42,2,1007"))
        assert table.stat().st_size == size
        assert refusal_of(path) == f"{place / 'houses.csv'} has changed"

    def test_data_that_are_gone(self, place: Path) -> None:
        path = started(place)
        (place / "houses.csv").unlink()
        table = place / "houses.csv"
        assert refusal_of(path, hint=GONE) == f"{table} is gone"
        # Nor can they be accepted: the run stays as it was.
        assert refusal_of(path, hint=GONE, accept_changes=True) == f"{table} is gone"

    def test_a_layer_added_to_the_model(self, place: Path) -> None:
        path = started(place)
        more = "activation(), nn.Linear(width, width), activation()"
        (place / "net.py").write_text(NET.replace("activation()", more))
        assert refusal_of(path) == "net.py has changed"

    def test_a_file_that_the_model_imports(self, place: Path) -> None:
        path = started(place)
        (place / "layers.py").write_text(LAYERS.replace("ReLU", "Tanh"))
        assert refusal_of(path) == "layers.py has changed"

    def test_several_things_are_all_named(self, place: Path) -> None:
        path = started(place)
        (place / "houses.csv").write_text("a,b\n1,2\n")  # would not even load any more
        (place / "layers.py").unlink()
        table = place / "houses.csv"
        assert refusal_of(path) == f"layers.py is gone; {table} has changed"

    def test_another_torch(self, place: Path) -> None:
        path = started(place)
        journal = path / "study.journal"
        now = load_run(path).about.sessions[-1].versions["torch"]
        journal.write_text(journal.read_text().replace(f'"torch": "{now}"', '"torch": "1.0.0"'))
        journal.write_text(journal.read_text().replace(f'"torch":"{now}"', '"torch":"1.0.0"'))
        assert refusal_of(path) == f"torch was 1.0.0, is now {now}"

    def test_another_recipe(self, place: Path) -> None:
        path = started(place)
        (place / "recipe.toml").write_text(RECIPE.replace("epochs = 1", "epochs = 2"))
        with pytest.raises(RunFolderError) as refused:
            looped_study(recipe_in(place), path=path, trials=3, resume=True)
        assert refused.value.found == (
            f"{path} was started with another recipe: train.epochs was 1, is now 2"
        )

    def test_a_function_that_gives_other_data(self, place: Path) -> None:
        (place / "data.py").write_text(LOAD)
        text = RECIPE.replace('"houses.csv"\ntarget = "price"', '"data.py:load"')
        (place / "recipe.toml").write_text(text)
        path = started(place)
        assert resumed(path).trained == 1
        # By what it returns, not by its text: a file that it reads may have changed.
        (place / "data.py").write_text(LOAD.replace("* 2", "* 3"))
        assert refusal_of(path) == "data.py has changed; ../../data.py:load gives other data"
        (place / "data.py").write_text(LOAD + "# a comment\n")
        assert refusal_of(path) == "data.py has changed"


def test_files_that_are_not_imported_may_change(place: Path) -> None:
    path = started(place)
    (place / "unused.py").write_text("x = 1\n")
    (place / "notes.txt").write_text("new")
    assert resumed(path).trained == 1


def test_a_study_with_nothing_left_to_train_is_not_checked(place: Path) -> None:
    path = started(place)
    (place / "houses.csv").unlink()
    assert resumed(path, trials=2).trained == 0


def numbers_of(run: Run) -> list[tuple[int, int]]:
    return [(trial.number, trial.session) for trial in run.trials]


def test_changes_that_are_accepted_are_said_in_the_run(place: Path) -> None:
    path = started(place)
    changed = NET.replace("activation()", "nn.Tanh()")
    (place / "net.py").write_text(changed)
    assert resumed(path, accept_changes=True).trained == 1
    run = load_run(path)
    assert run.accepted == ["net.py has changed"]
    assert numbers_of(run) == [(0, 0), (1, 0), (2, 1)]
    assert run.about.sessions[1].code["net.py"] == hash_of_bytes(changed.encode())
    # The weights of earlier trials need the earlier file: both are kept.
    assert (path / "code" / "net.py").read_text() == NET
    assert (path / "code" / "session-1" / "net.py").read_text() == changed
    assert not (path / "code" / "session-1" / "layers.py").exists()
    # From here on, the changed file is what must not change.
    assert resumed(path, trials=4).trained == 1
    (place / "net.py").write_text(NET)
    assert refusal_of(path) == "net.py has changed"


class TestMendedCode:
    """Where no trial is complete, nothing is mixed by another model."""

    # It shows in training only: what shows before is no trial.
    BROKEN = NET.replace("nn.Sequential(", "Broken(") + (
        "class Broken(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x[:, 1:] if self.training else x)\n"
    )

    def broken(self, place: Path, trials: int) -> Path:
        (place / "net.py").write_text(self.BROKEN)
        path = place / "runs" / "first"
        end = looped_study(recipe_in(place), path=path, trials=trials)
        assert {trial.state for trial in end.trials} == {TrialState.FAILED}
        return path

    def test_the_failed_trials_are_given_again(self, place: Path) -> None:
        path = self.broken(place, trials=3)
        values = [trial.values for trial in load_run(path).trials]
        (place / "net.py").write_text(NET)
        end = resumed(path, trials=3)  # none left by their number, but all to be trained again
        assert (end.ending, end.trained) == (Ending.COMPLETE, 3)
        run = load_run(path)
        assert [trial.state for trial in run.trials] == [TrialState.COMPLETE] * 3
        assert [trial.values for trial in run.trials] == values
        assert numbers_of(run) == [(0, 1), (1, 1), (2, 1)]
        assert run.accepted == []  # nothing was mixed
        assert run.about.sessions[1].mended == ("net.py has changed",)
        assert len((path / "trials.csv").read_text().splitlines()) == 4
        assert (path / "code" / "session-1" / "net.py").read_text() == NET

    def test_without_a_change_they_count_as_failed(self, place: Path) -> None:
        path = self.broken(place, trials=2)
        end = resumed(path)
        assert (end.trained, len(end.trials)) == (1, 3)
        assert numbers_of(load_run(path)) == [(0, 0), (1, 0), (2, 1)]

    def test_other_data_are_still_refused(self, place: Path) -> None:
        path = self.broken(place, trials=2)
        (place / "net.py").write_text(NET)
        (place / "houses.csv").unlink()
        table = place / "houses.csv"
        assert refusal_of(path, hint=GONE) == f"{table} is gone; net.py has changed"

    def test_once_a_trial_is_complete_they_are_not(self, place: Path) -> None:
        path = self.broken(place, trials=2)
        (place / "net.py").write_text(NET)
        assert resumed(path, trials=3).trained == 3
        (place / "net.py").write_text(NET + "# and more\n")
        assert refusal_of(path) == "net.py has changed"


class TestMoreThanOneSession:
    def test_torch_is_that_of_the_trials_and_not_of_a_session_without_any(
        self, place: Path
    ) -> None:
        path = started(place)
        assert resumed(path, trials=2).trained == 0
        journal, now = path / "study.journal", load_run(path).about.torch
        lines = journal.read_text().splitlines(keepends=True)
        for sign in (": ", ":"):
            old, new = f'"torch"{sign}"{now}"', f'"torch"{sign}"1.0.0"'
            lines = [
                head + old.join([new + tail for tail in tails[:1]] + tails[1:])
                if (head := line.partition(old)[0]) != line.rstrip("\n")
                and (tails := line.split(old)[1:])
                else line
                for line in lines
            ]
        journal.write_text("".join(lines))  # of the first session alone
        assert load_run(path).about.sessions[-1].versions["torch"] == now
        assert refusal_of(path) == f"torch was 1.0.0, is now {now}"

    def test_files_of_any_session_count(self, place: Path) -> None:
        """The second session has nothing to train, so it looks at no data; the first one did."""
        path = place / "runs" / "first"
        looped_study(recipe_in(place), path=path, trials=3)
        assert resumed(path).trained == 0
        first, second = load_run(path).about.sessions
        assert (set(first.data), set(second.data)) == ({"../../houses.csv"}, set())
        (place / "houses.csv").write_text("changed\n")
        with pytest.raises(RunFolderError) as refused:
            resumed(path, trials=12)
        assert f"{place / 'houses.csv'} has changed" in refused.value.found


def test_code_is_kept_as_it_was_imported(place: Path) -> None:
    """A file that is edited while the search runs is not what its trials were trained with."""
    edited = LAYERS + "# edited meanwhile\n"

    def edit(event: StudyEvent) -> None:
        if event.kind in (EventKind.EPOCH, EventKind.TRIAL):  # not all epochs are told
            (place / "layers.py").write_text(edited)

    path = place / "runs" / "first"
    looped_study(recipe_in(place), path=path, trials=2, on_event=edit)
    assert (path / "code" / "layers.py").read_text() == LAYERS
    assert refusal_of(path) == "layers.py has changed"


def test_a_mistake_in_the_code_stops_a_resume_before_it_begins(place: Path) -> None:
    path = started(place)
    (place / "net.py").write_text("def (")
    before = (path / "study.journal").read_bytes()
    with pytest.raises(RecipeError, match=r"net\.py, line 1: failed: SyntaxError"):
        resumed(path, accept_changes=True)
    assert (path / "study.journal").read_bytes() == before


def test_there_is_nothing_to_accept_in_a_new_study(place: Path) -> None:
    with pytest.raises(UsageError) as refused:
        looped_study(recipe_in(place), path=place / "runs" / "first", trials=1, accept_changes=True)
    assert str(refused.value) == (
        "--accept-changes is for a study that goes on, and this one is new\n"
        "Leave it out, or type --resume too."
    )


def test_every_file_of_a_run_says_its_format(place: Path) -> None:
    path = started(place)
    lines = [json.loads(line) for line in (path / "study.journal").read_text().splitlines()]
    assert {"format": 1} in [line.get("user_attr") for line in lines]
    for name in ("recipe.toml", "best.toml"):
        assert "# dltune recipe, format 1\n" in (path / name).read_text()
    for name in ("trials.csv", "history.csv"):
        header, *rows = (path / name).read_text().splitlines()
        place_of = header.split(",").index("format")
        assert {row.split(",")[place_of] for row in rows} == {"1"}
    assert json.loads((path / "checkpoints" / "best.json").read_text())["format"] == 1
