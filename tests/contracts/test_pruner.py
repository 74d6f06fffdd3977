"""The contract that every pruner keeps; no test here knows which one it tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dltune.errors import UsageError
from dltune.recipe.schema import Config
from dltune.search.executors.protocol import TrialPaused
from dltune.search.pruning.registry import PRUNERS, build_pruner, check_acts
from dltune.search.rungs import Rungs
from dltune.training.history import Trial, TrialRecord, TrialState
from tests.search.pruning.curves import record_of
from tests.training.configs import make_config

EPOCHS = 12

CURVES = st.lists(
    st.tuples(
        st.lists(
            st.sampled_from([0.05, 0.1, 0.2, 0.3, 0.5, 0.7]), min_size=EPOCHS, max_size=EPOCHS
        ),
        st.sampled_from(["complete", "complete", "complete", "diverges", "fails", "stops"]),
        st.integers(1, EPOCHS),  # in which epoch
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture(params=sorted(PRUNERS), name="name", scope="module")
def fixture_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class MadeUp:
    """Trials whose whole curves are known; trains them as an executor does."""

    def __init__(self, curves: Sequence[tuple[Sequence[float], str, int]]) -> None:
        self.configs = {n: make_config(train={"epochs": EPOCHS}) for n in range(len(curves))}
        self._curves = curves

    def trial(self, number: int) -> Trial:
        return Trial(number=number, config=self.configs[number], seed=0)

    def train(self, number: int, until: int | None) -> TrialRecord:
        """What has become of a trial after so many epochs; pruned if it may go on."""
        errors, end, at = self._curves[number]
        losses = [1.0 - 0.01 * epoch for epoch in range(EPOCHS)]
        last, state = EPOCHS, TrialState.COMPLETE
        if end != "complete":
            last = at - (end == "fails")
            kinds = {"diverges": TrialState.DIVERGED, "fails": TrialState.FAILED}
            state = kinds.get(end, TrialState.COMPLETE)
            errors = [*errors[: at - 1], math.nan if end == "diverges" else errors[at - 1]]
        # One that fails in an epoch after the rung comes to the rung first.
        pauses = until is not None and (until < last or (until == last and end == "fails"))
        if pauses:
            last, state = until, TrialState.PRUNED
        return record_of(number, errors[:last], train=losses[:last], state=state)


def study(
    name: str, made_up: MadeUp, done: Mapping[int, TrialRecord], *, most: int | None = None
) -> dict[int, TrialRecord]:
    """All that is over after a search that goes on from what is done.

    most  of the trials' ends, before which the search is killed; None for all.
    """
    pruner, over = build_pruner(name, {}), dict(done)
    left = [made_up.trial(number) for number in made_up.configs if number not in done]
    known: dict[int, tuple[Config, TrialRecord]] = {
        number: (made_up.configs[number], record) for number, record in done.items()
    }
    rungs = Rungs(pruner, left, over=known, kept={}, epochs=EPOCHS)
    while (stretch := rungs.next()) is not None:
        for trial in stretch[0]:
            if most is not None and len(over) >= most:
                return over
            record = made_up.train(trial.number, stretch[1].until.get(trial.number))
            if record.state is TrialState.PRUNED:
                rungs.pause(TrialPaused(record=record, kept=""))
            else:
                rungs.end(record)
                over[record.number] = record
        over |= {record.number: record for record in rungs.judge()}
    return over


@given(curves=CURVES, most=st.integers(0, 12), data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_search_that_was_killed_decides_again_what_it_had_decided(
    name: str, curves: Sequence[tuple[Sequence[float], str, int]], most: int, data: st.DataObject
) -> None:
    """Also where some of what it had decided was lost, as its records were not written yet."""
    made_up = MadeUp(curves)
    whole = study(name, made_up, {})
    assert sorted(whole) == list(range(len(curves)))
    cut = study(name, made_up, {}, most=most)
    lost = data.draw(st.sets(st.sampled_from(sorted(cut)))) if cut else set()
    again = study(name, made_up, {n: one for n, one in cut.items() if n not in lost})
    assert {n: (one.state, one.reason, one.epochs) for n, one in again.items()} == {
        n: (one.state, one.reason, one.epochs) for n, one in whole.items()
    }


def test_every_trial_is_in_one_bracket_and_looks_come_before_the_end(name: str) -> None:
    for epochs in (1, 2, 5, 20, 81):
        brackets = build_pruner(name, {}).brackets(range(7, 50), epochs)
        assert sorted(n for one in brackets for n in one.trials) == list(range(7, 50))
        for one in brackets:
            assert list(one.rungs) == sorted(set(one.rungs))
            assert all(1 <= rung < epochs for rung in one.rungs)


def test_its_options_build_it_again(name: str) -> None:
    options = {} if name == "bad-start" else build_pruner(name, {"first_rung": 2}).options
    again = build_pruner(name, options)
    assert again is not None
    assert again.options == options
    assert again.brackets(range(30), 40) == build_pruner(name, options).brackets(range(30), 40)


def test_one_that_can_end_nobody_is_refused(name: str) -> None:
    pruner = build_pruner(name, {})
    assert pruner is not None
    with pytest.raises(UsageError, match=f"--prune {name} can end none of them: .* 1 epoch,"):
        check_acts(name, pruner, trials=50, epochs=1)
    check_acts(name, pruner, trials=50, epochs=20)


def test_an_unknown_name_and_an_option_of_another() -> None:
    with pytest.raises(UsageError, match="no such rule") as caught:
        build_pruner("halvin", {})
    assert caught.value.hint == "Try --prune halving."
    with pytest.raises(UsageError, match="--reduction is not for --prune median") as caught:
        build_pruner("median", {"reduction": 3})
    assert caught.value.hint == "Leave it out, or type --prune halving."
    assert build_pruner("none", {}) is None
