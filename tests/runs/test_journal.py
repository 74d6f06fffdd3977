"""The journal, seen through Optuna's own eyes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState as OptunaState

from dltune.errors import RunFolderError
from dltune.recipe.ranges import Choice, Int, IntLog, Log, Range, Uniform
from dltune.recipe.recipe import Recipe
from dltune.recipe.space import Dimension, Space
from dltune.runs.about import About
from dltune.runs.distributions import OptunaSpace, distribution_of
from dltune.runs.folder import RunFolder
from dltune.runs.journal import OPTUNA_STATES, JournalFile, Operation
from dltune.training.history import TrialRecord, TrialState
from tests.search.made_up import about, append, finished
from tests.search.recipes import CONDITIONAL, small

OUTCOMES = [
    (TrialState.COMPLETE, 0.5, ""),
    (TrialState.DIVERGED, None, "non-finite loss in epoch 2"),
    (TrialState.FAILED, None, "out of memory"),
    (TrialState.PRUNED, None, "worse than half"),
    (TrialState.COMPLETE, 0.25, ""),
]


@pytest.fixture(params=["plain", "conditional"], name="recipe")
def fixture_recipe(request: pytest.FixtureRequest) -> Recipe:
    return small() if request.param == "plain" else small(text=CONDITIONAL)


@pytest.fixture(name="journal")
def fixture_journal(tmp_path: Path, recipe: Recipe) -> Path:
    folder = RunFolder.create(tmp_path / "wines", recipe, about())
    append(
        folder,
        *[
            finished(recipe, number, objective, state, reason)
            for number, (state, objective, reason) in enumerate(OUTCOMES)
        ],
    )
    folder.close()
    return tmp_path / "wines" / "study.journal"


def read_journal(journal: Path) -> tuple[dict[str, Any], list[TrialRecord]]:
    return JournalFile(journal, "wines").read()


def opened(journal: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.load_study(
        study_name="wines", storage=storage, sampler=optuna.samplers.RandomSampler(seed=0)
    )


def test_optuna_loads_the_study(journal: Path, recipe: Recipe) -> None:
    study = opened(journal)
    assert study.direction is optuna.study.StudyDirection.MINIMIZE
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3, 4]
    assert [trial.state for trial in study.trials] == [
        OptunaState.COMPLETE,
        OptunaState.FAIL,
        OptunaState.FAIL,
        OptunaState.PRUNED,
        OptunaState.COMPLETE,
    ]
    assert [trial.values for trial in study.trials] == [[0.5], None, None, None, [0.25]]
    assert study.best_trial.number == 4
    for trial in study.trials:
        expected = finished(recipe, trial.number, 0.5).record
        assert trial.params == {
            name: value if isinstance(value, (int, float, str)) else json.dumps(value)
            for name, value in expected.values.items()
        }
        assert trial.distributions == {
            one.name: distribution_of(one.range)
            for one in recipe.space.dimensions
            if one.name in expected.values
        }
        assert trial.user_attrs["seed"] == expected.seed
        assert trial.user_attrs["values"] == expected.values
        assert trial.user_attrs["number"] == trial.number


def test_optuna_sees_reasons_epochs_and_times(journal: Path) -> None:
    trials = opened(journal).trials
    attributes = [(trial.user_attrs["state"], trial.user_attrs["reason"]) for trial in trials]
    assert attributes == [(state.value, reason) for state, _, reason in OUTCOMES]
    assert trials[0].intermediate_values == {1: 1.0, 2: 0.5}
    assert trials[0].duration is not None
    assert trials[0].duration.total_seconds() == 0.5


def test_optuna_sees_what_the_study_was_started_with(journal: Path) -> None:
    attributes = opened(journal).user_attrs
    assert About.from_attributes(attributes) == about()
    assert (attributes["format"], attributes["trials"]) == (1, 10)


def test_trials_stand_in_the_order_in_which_they_ended(tmp_path: Path) -> None:
    recipe = small()
    folder = RunFolder.create(tmp_path / "wines", recipe, about())
    append(folder, *[finished(recipe, number, 0.5) for number in (7, 2)])
    append(folder, *[finished(recipe, 4, 0.25)])
    folder.close()
    path = tmp_path / "wines" / "study.journal"
    trials = opened(path).trials
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert [trial.user_attrs["number"] for trial in trials] == [7, 2, 4]
    _, stored = read_journal(path)
    assert [trial.number for trial in stored] == [2, 4, 7]
    assert stored[1].values == finished(recipe, 4, 0.25).record.values


def test_a_journal_of_an_older_dltune_has_its_trials_in_order(journal: Path) -> None:
    """Its trials have no number of their own, and stand in the order of their numbers."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        line.get("user_attrs", {}).pop("number", None)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    _, stored = read_journal(journal)
    assert [trial.number for trial in stored] == [0, 1, 2, 3, 4]
    assert [trial.state for trial in stored] == [state for state, _, _ in OUTCOMES]


def test_a_journal_that_optuna_itself_has_written_is_read(journal: Path, tmp_path: Path) -> None:
    """What Optuna makes of our study, as the dltune before this one had it written."""
    ours, copy = opened(journal), tmp_path / "copy.journal"
    storage = JournalStorage(JournalFileBackend(str(copy)))
    theirs = optuna.create_study(storage=storage, study_name="wines", direction="minimize")
    for key, value in ours.user_attrs.items():
        theirs.set_user_attr(key, value)
    theirs.add_trials(ours.trials)
    assert read_journal(copy) == read_journal(journal)


def test_notes_of_other_tools_change_nothing(journal: Path) -> None:
    before = read_journal(journal)
    study = opened(journal)
    study._storage.set_study_system_attr(study._study_id, "dashboard:note", "looks good")
    assert read_journal(journal) == before


def test_the_codes_are_those_of_optuna() -> None:
    from optuna.storages.journal._storage import JournalOperation

    for ours in Operation:
        assert JournalOperation[ours.name] == ours
    for code in OPTUNA_STATES.values():
        assert OptunaState[code.name] == code


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param({"op_code": 0, "study_name": "two"}, "2 studies instead of one", id="two"),
        pytest.param({"op_code": 1, "study_id": 0}, "0 studies instead of one", id="deleted"),
        pytest.param(None, "trial 4 is there twice", id="twice"),
    ],
)
def test_a_journal_that_is_no_study_of_ours_is_refused(
    journal: Path, line: dict[str, Any] | None, problem: str
) -> None:
    last = json.loads(journal.read_text().splitlines()[-1])
    with journal.open("a") as stream:
        stream.write(json.dumps(last if line is None else line) + "\n")
    with pytest.raises(RunFolderError) as refused:
        read_journal(journal)
    assert refused.value.found == (
        f"{journal}: damaged, or not of a dltune study (ValueError: {problem})"
    )


def test_optuna_goes_on_with_the_study(journal: Path) -> None:
    study = opened(journal)
    trial = study.ask(study.trials[0].distributions)
    study.tell(trial, 0.125)
    assert trial.number == 5
    assert opened(journal).best_value == 0.125


def test_optuna_makes_a_table_of_it(journal: Path, recipe: Recipe) -> None:
    frame = opened(journal).trials_dataframe()
    assert list(frame["number"]) == [0, 1, 2, 3, 4]
    values = [finished(recipe, n, 0.5).record.values for n in range(5)]
    for name in recipe.space.by_name:
        present = frame[f"params_{name}"].notna()
        assert list(present) == [name in one for one in values]


def answer(journal: Path, path: str) -> tuple[str, Any]:
    """What optuna-dashboard's own application answers to a request."""
    from optuna_dashboard import wsgi

    application = wsgi(JournalStorage(JournalFileBackend(str(journal))))
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": True,
    }
    body = application(environ, lambda status, headers, *_: statuses.append(status))  # type: ignore[arg-type, return-value]
    # As strict as a browser: NaN is no JSON.
    return statuses[0], json.loads(b"".join(body), parse_constant=pytest.fail)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_dashboard_serves_it(journal: Path, recipe: Recipe) -> None:
    status, found = answer(journal, "/api/studies")
    assert status == "200 OK"
    (listed,) = found["study_summaries"]
    assert listed["study_name"] == "wines"
    status, study = answer(journal, f"/api/studies/{listed['study_id']}")
    assert status == "200 OK"
    assert [trial["state"] for trial in study["trials"]] == [
        "Complete",
        "Fail",
        "Fail",
        "Pruned",
        "Complete",
    ]
    assert {entry["name"] for entry in study["union_search_space"]} == set(recipe.space.by_name)
    (best,) = study["best_trials"]
    assert (best["number"], best["values"]) == (4, [0.25])


def test_a_block_is_one_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small()
    folder = RunFolder.create(tmp_path / "run", recipe, about())
    append(folder, *[finished(recipe, 0, 0.5)])
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    append(folder, *[finished(recipe, number, 0.5) for number in range(1, 11)])
    folder.close()
    # One for history.csv and one for the journal, and not two for every trial.
    assert len(synced) == 2


@pytest.mark.parametrize(
    ("range_", "value"),
    [
        (Log(1e-4, 1e-1), 0.01),
        (Int(16, 64, step=16), 48),
        (Choice(("relu", "gelu")), "gelu"),
        (Choice(([64], [64, 32])), [64, 32]),
        (Choice((0, 0.5, True, None)), True),
        (Choice((0, 0.5, True, None)), None),
    ],
    ids=repr,
)
def test_values_in_optunas_words(range_: Range, value: Any) -> None:
    space = Space((Dimension(name="x", path="x", range=range_),))
    params, distributions = OptunaSpace(space).params_of({"x": value})
    distribution = distribution_of(range_)
    told = json.dumps(value) if isinstance(value, list) else value
    assert params == {"x": distribution.to_internal_repr(told)}
    assert json_to_distribution(distributions["x"]) == distribution


@pytest.mark.parametrize(
    ("range_", "distribution"),
    [
        (Log(1e-4, 1e-1, points=3), FloatDistribution(1e-4, 1e-1, log=True)),
        (Uniform(0.0, 0.5), FloatDistribution(0.0, 0.5)),
        (Uniform(0.0, 0.3, step=0.1), FloatDistribution(0.0, 0.3, step=0.1)),
        (Int(1, 6), IntDistribution(1, 6)),
        (Int(16, 64, step=16), IntDistribution(16, 64, step=16)),
        (IntLog(16, 512), IntDistribution(16, 512, log=True)),
        (Choice(("relu", "gelu")), CategoricalDistribution(["relu", "gelu"])),
        (Choice((0, 0.5, True, None)), CategoricalDistribution([0, 0.5, True, None])),
        (Choice(([64], [64, 32])), CategoricalDistribution(["[64]", "[64, 32]"])),
        (Choice((0.0, [0.1, 0.2])), CategoricalDistribution(["0.0", "[0.1, 0.2]"])),
        (Choice((1, True)), CategoricalDistribution(["1", "true"])),
    ],
    ids=repr,
)
def test_ranges_in_optunas_words(range_: Range, distribution: Any) -> None:
    assert distribution_of(range_) == distribution


def test_a_step_that_divides_only_up_to_rounding_is_left_out() -> None:
    third = Uniform(0.0, 1.0, step=1 / 3)
    assert distribution_of(third) == FloatDistribution(0.0, 1.0)
