"""The contract of a storage, kept by the journal and by a database that Optuna runs.

The database is here to show that nothing is asked of a storage that Optuna's public calls do not
give: a study may then be kept under any URL that Optuna takes.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import json_to_distribution
from optuna.trial import TrialState as OptunaState

from dltune.errors import RunFolderError
from dltune.recipe.space import Space
from dltune.runs.about import About
from dltune.runs.distributions import OptunaSpace
from dltune.runs.journal import OPTUNA_STATES, JournalFile, quiet_optuna
from dltune.runs.storage import Storage, attributes_of, newest, record_of
from dltune.training.history import TrialRecord, TrialState
from tests.search.made_up import about, bare, finished
from tests.search.recipes import CONDITIONAL, small

NAME = "wines"


class Database:
    """A study in a storage of Optuna's, by public calls alone."""

    def __init__(self, url: str) -> None:
        self._url = url

    def create(self, attributes: Mapping[str, Any]) -> None:
        with quiet_optuna():
            optuna.create_study(storage=self._url, study_name=NAME, direction="minimize")
        self.update(attributes)

    def update(self, attributes: Mapping[str, Any]) -> None:
        study = self._study()
        for name, value in attributes.items():
            study.set_user_attr(name, value)

    def append(self, trials: Sequence[TrialRecord], space: Space) -> None:
        words, now = OptunaSpace(space), datetime.datetime.now()
        study = self._study()
        for trial in trials:
            params, distributions = words.params_of(trial.values)
            kinds = {name: json_to_distribution(text) for name, text in distributions.items()}
            state = OptunaState(OPTUNA_STATES[trial.state].value)
            if state is OptunaState.COMPLETE and trial.ranked is None:
                state = OptunaState.FAIL
            study.add_trial(
                optuna.trial.FrozenTrial(
                    number=-1,  # Optuna gives one
                    trial_id=-1,
                    state=state,
                    value=trial.ranked,
                    datetime_start=now,
                    datetime_complete=now,
                    params={
                        name: kinds[name].to_external_repr(value) for name, value in params.items()
                    },
                    distributions=kinds,
                    user_attrs=attributes_of(trial),
                    system_attrs={},
                    intermediate_values={},
                )
            )

    def read(self) -> tuple[dict[str, Any], list[TrialRecord]]:
        try:
            study = self._study()
        except KeyError as problem:
            raise RunFolderError(f"{self._url}: no study {NAME}") from problem
        trials = [record_of(one.user_attrs, place=one.number) for one in study.trials]
        return dict(study.user_attrs), newest(trials)

    def recover(self) -> None:
        """The database does it."""

    def _study(self) -> optuna.Study:
        return optuna.load_study(study_name=NAME, storage=self._url)


MAKERS: dict[str, Callable[[Path], Storage]] = {
    "journal": lambda folder: JournalFile(folder / "study.journal", NAME),
    "database": lambda folder: Database(f"sqlite:///{folder / 'study.db'}"),
}


@pytest.fixture(params=list(MAKERS), name="make")
def fixture_make(request: pytest.FixtureRequest) -> Callable[[Path], Storage]:
    return MAKERS[request.param]


def record(number: int, objective: float | None = 0.5, *, text: str | None = None) -> TrialRecord:
    recipe = small() if text is None else small(text=text)
    if objective is None:
        return bare(finished(recipe, number, None, TrialState.FAILED, "out of memory"))
    return bare(finished(recipe, number, objective))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
class TestStorage:
    def test_what_is_written_is_read(self, make: Callable[[Path], Storage], tmp_path: Path) -> None:
        storage = make(tmp_path)
        storage.create(about().to_attributes())
        written = [record(1, text=CONDITIONAL), record(0, None, text=CONDITIONAL)]
        storage.append(written, small(text=CONDITIONAL).space)
        storage.append([record(2, 0.25, text=CONDITIONAL)], small(text=CONDITIONAL).space)
        for one in (storage, make(tmp_path)):  # also in another process
            attributes, trials = one.read()
            assert About.from_attributes(attributes) == about()
            assert trials == [written[1], written[0], record(2, 0.25, text=CONDITIONAL)]
            assert [trial.config for trial in trials] == [
                record(n, text=CONDITIONAL).config for n in range(3)
            ]

    def test_attributes_are_overwritten_one_by_one(
        self, make: Callable[[Path], Storage], tmp_path: Path
    ) -> None:
        storage = make(tmp_path)
        storage.create({"trials": 3, "sessions": [], "options": {"step": 0.1}})
        storage.update({"trials": 5})
        storage.update({"sessions": [{"started": "2026-01-01", "ended": None}]})
        storage.update({})
        attributes, trials = storage.read()
        assert trials == []
        assert attributes == {
            "trials": 5,
            "sessions": [{"started": "2026-01-01", "ended": None}],
            "options": {"step": 0.1},
        }

    def test_the_trial_of_a_later_session_counts(
        self, make: Callable[[Path], Storage], tmp_path: Path
    ) -> None:
        storage, space = make(tmp_path), small().space
        storage.create(about().to_attributes())
        again = dataclasses.replace(record(0), session=1)
        storage.append([record(0, None)], space)
        storage.append([again], space)
        _, trials = storage.read()
        assert trials == [again]
        assert trials[0].session == 1
        storage.append([again], space)
        with pytest.raises((RunFolderError, ValueError), match="trial 0 is there twice"):
            storage.read()

    def test_nothing_to_append_changes_nothing(
        self, make: Callable[[Path], Storage], tmp_path: Path
    ) -> None:
        storage = make(tmp_path)
        storage.create({"trials": 3})
        storage.append([], small().space)
        storage.recover()
        assert storage.read() == ({"trials": 3}, [])

    def test_a_study_that_is_not_there(
        self, make: Callable[[Path], Storage], tmp_path: Path
    ) -> None:
        with pytest.raises(RunFolderError):
            make(tmp_path).read()


plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
values = plain | st.text() | st.lists(plain, max_size=3)
records = st.builds(
    TrialRecord,
    number=st.integers(0, 10**6),
    seed=st.integers(0, 2**63 - 1),
    state=st.sampled_from([state for state in TrialState if state is not TrialState.INTERRUPTED]),
    reason=st.text(),
    objective=st.none() | st.floats(allow_nan=False),
    best_epoch=st.none() | st.integers(1, 999),
    dev_error=st.none() | st.floats(allow_nan=False),
    epochs=st.integers(0, 999),
    examples=st.dictionaries(st.sampled_from(["train", "dev"]), st.integers(1, 10**9)),
    values=st.dictionaries(st.sampled_from(["a", "b.c"]), values),
    config=st.dictionaries(st.sampled_from(["optim.lr", "x"]), values),
    session=st.integers(0, 9),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(records, unique_by=lambda one: one.number, max_size=4))
def test_any_trial_comes_back_from_the_journal(
    tmp_path_factory: pytest.TempPathFactory, trials: list[TrialRecord]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "study.journal"
    storage = JournalFile(path, NAME)
    storage.create({})
    storage.append(trials, Space(()))
    _, found = storage.read()
    assert found == sorted(trials, key=lambda one: one.number)
    assert [one.session for one in found] == [one.session for one in newest(trials)]
    assert all(json.loads(line) for line in path.read_text().splitlines())
