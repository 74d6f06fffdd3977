"""The journal, seen through Optuna's own eyes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState as OptunaState

from dltune.recipe.ranges import Choice, Int, IntLog, Log, Range, Uniform
from dltune.recipe.recipe import Recipe
from dltune.search.distributions import distribution_of, params_of
from dltune.search.store import RunFolder
from dltune.training.history import TrialState
from tests.search.made_up import finished, meta
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
    folder = RunFolder.create(tmp_path / "wines", recipe, meta())
    folder.append(
        [
            finished(recipe, number, objective, state, reason)
            for number, (state, objective, reason) in enumerate(OUTCOMES)
        ]
    )
    folder.close()
    return tmp_path / "wines" / "study.journal"


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
        expected = finished(recipe, trial.number, 0.5).result
        params, distributions = params_of(recipe.space, expected.values)
        assert trial.params == params
        assert trial.distributions == distributions
        assert trial.user_attrs["seed"] == expected.seed
        assert trial.user_attrs["values"] == expected.values


def test_optuna_sees_reasons_epochs_and_times(journal: Path) -> None:
    trials = opened(journal).trials
    attributes = [(trial.user_attrs["state"], trial.user_attrs["reason"]) for trial in trials]
    assert attributes == [(state.value, reason) for state, _, reason in OUTCOMES]
    assert trials[0].intermediate_values == {1: 1.0, 2: 0.5}
    assert trials[0].duration is not None
    assert trials[0].duration.total_seconds() == 0.5


def test_optuna_sees_what_the_study_was_started_with(journal: Path) -> None:
    assert opened(journal).user_attrs == {
        "strategy": "random",
        "options": {},
        "seed": 0,
        "trials": 10,
        "metric": "dev_error",
        "examples": {"train": 106, "dev": 36, "test": 36, "train_dev": None},
        "version": "0.1.0",
    }


def test_optuna_goes_on_with_the_study(journal: Path) -> None:
    study = opened(journal)
    trial = study.ask(study.trials[0].distributions)
    study.tell(trial, 0.125)
    assert trial.number == 5
    assert opened(journal).best_value == 0.125


def test_optuna_makes_a_table_of_it(journal: Path, recipe: Recipe) -> None:
    frame = opened(journal).trials_dataframe()
    assert list(frame["number"]) == [0, 1, 2, 3, 4]
    values = [finished(recipe, n, 0.5).result.values for n in range(5)]
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
    folder = RunFolder.create(tmp_path / "run", recipe, meta())
    folder.append([finished(recipe, 0, 0.5)])
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    folder.append([finished(recipe, number, 0.5) for number in range(1, 11)])
    folder.close()
    # One for history.csv and one for the journal, and not two for every trial.
    assert len(synced) == 2


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
