"""Cohorts in the process that has torch: stacks that fail, kinds of models, plans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from dltune.runs import keepers
from dltune.search.data_shelf import DataShelf
from dltune.search.executors.job import CANNOT_BE_BUILT, Cohort, StackFailed
from dltune.search.executors.protocol import Environment, EpochEnded, TrialEnded, TrialStarted
from dltune.search.executors.trainer import Trainer
from dltune.search.plan import Plan
from dltune.training.history import Trial, TrialState
from tests.search.executors.trials import Seen, own, trial


@pytest.fixture(name="trainer")
def fixture_trainer(folder: Path) -> Trainer:
    return Trainer(DataShelf(folder), folder)


def stack(
    trainer: Trainer, trials: Sequence[Trial], best: float | None = None
) -> tuple[Seen, list[StackFailed]]:
    told = list(trainer.train(Cohort(key="", trials=tuple(trials), stacked=True, best=best)))
    failures = [one for one in told if isinstance(one, StackFailed)]
    return Seen([one for one in told if not isinstance(one, StackFailed)]), failures


def test_a_stack_trains_together(trainer: Trainer) -> None:
    seen, failures = stack(trainer, [trial(0), trial(1), trial(2, "train.epochs=1")])
    assert failures == []
    kinds = [type(one) for one in seen]
    one_ends = [EpochEnded, Environment, TrialEnded]
    assert kinds == [TrialStarted] * 3 + one_ends + [EpochEnded] + [TrialEnded] * 2
    assert [result.epochs for result in seen.results.values()] == [2, 2, 1]


@pytest.mark.parametrize("stacked", [False, True], ids=["looped", "stacked"])
def test_trials_that_were_cut_off_go_on_from_their_last_checkpoint(
    stacked: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of other configs nothing is taken, and nothing is left when all is over."""
    monkeypatch.setattr(keepers, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(keepers, "SHARE", 1e9)
    trials = (trial(0, "train.epochs=5"), trial(1, "train.epochs=5"))
    cohort = Cohort(key="", trials=trials, stacked=stacked)

    def epochs_of(cohort: Cohort, until: int = 9) -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []
        for one in Trainer(DataShelf(folder), folder).train(cohort):
            if isinstance(one, EpochEnded):
                seen += [(record.trial, record.epoch) for record in one.records]
                if one.records[0].epoch == until:
                    break
        return seen

    epochs_of(cohort, until=3)
    kept = folder / "checkpoints" / "running"
    assert [file.name for file in kept.iterdir()] == ["0.safetensors"]
    other = [trial(0, "train.epochs=5", "optim.lr=0.5")]
    assert keepers.CohortKeeper(folder, other).states() == {}
    left = [(0, 4), (0, 5), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5)]
    together = [(0, 4), (1, 4), (0, 5), (1, 5)]
    assert epochs_of(cohort) == (together if stacked else left)
    assert list(kept.iterdir()) == []


def test_memory_that_runs_out_halves_the_stack(trainer: Trainer) -> None:
    seen, failures = stack(trainer, [own(n, "large") for n in range(5)])
    assert failures == [
        StackFailed(stack=5, reason="out of memory", limit=2),
        StackFailed(stack=3, reason="out of memory", limit=1),
    ]
    assert {result.state for result in seen.results.values()} == {TrialState.COMPLETE}
    assert seen.started == [0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 3, 4]


def test_one_that_always_raises_fails_and_its_neighbours_do_not(trainer: Trainer) -> None:
    bad = own(2, "raises")
    seen, failures = stack(trainer, [bad])
    assert failures == []  # the trial is to blame, not the stack
    said = "user model: ValueError: no, thanks"
    assert re.fullmatch(rf"{said} \(/.*/net\.py, line \d+\)", seen.results[2].reason)


def test_one_that_bears_no_neighbour_is_trained_alone(trainer: Trainer) -> None:
    seen, failures = stack(trainer, [own(0, "fussy"), own(1, "fussy")])
    reason = failures[0].reason
    assert re.fullmatch(r"user model: ValueError: alone, please \(/.*/net\.py, line \d+\)", reason)
    assert failures == [
        StackFailed(stack=2, reason=reason),
        StackFailed(stack=1, reason=reason, limit=1),
        StackFailed(stack=1, reason=reason, limit=1),
    ]
    assert {result.state for result in seen.results.values()} == {TrialState.COMPLETE}


def test_a_setting_that_no_stack_can_have_is_told_by_each_trial(trainer: Trainer) -> None:
    seen, _ = stack(trainer, [trial(n, "objective.loss=mse") for n in range(2)])
    reasons = {result.reason for result in seen.results.values()}
    assert len(reasons) == 1
    assert reasons.pop().startswith("setting: objective.loss")


def test_a_mistake_of_ours_is_not_hidden(trainer: Trainer) -> None:
    """Only a user's model may raise what it likes."""
    broken = trial(0).config.model_copy(update={"optim": None})
    with pytest.raises(AttributeError):
        stack(trainer, [Trial(number=0, config=broken, seed=0)])


def test_only_who_may_be_best_brings_a_checkpoint(trainer: Trainer) -> None:
    trials = [trial(n) for n in range(4)]
    seen, _ = stack(trainer, trials)
    objectives = [result.objective for result in seen.results.values()]
    assert None not in objectives
    best, expected = float("inf"), []
    for objective in objectives:  # they end in this order, in the same epoch
        expected.append(objective <= best)
        best = min(best, objective)
    assert [one.checkpoint is not None for one in seen.ended.values()] == expected
    equal, _ = stack(trainer, trials, best)
    assert any(one.checkpoint is not None for one in equal.ended.values())
    beaten, _ = stack(trainer, trials, best - 1e-9)
    assert all(one.checkpoint is None for one in beaten.ended.values())


def test_models_are_told_apart_by_what_they_are(trainer: Trainer) -> None:
    models = [
        own(0, "build"),
        own(1, "build", "model.width=8"),
        own(2, "build", "model.width=9"),
        own(3, "build", 'model.label="another"'),
        own(4, "with_dropout", "model.p=0.1"),
        own(5, "with_dropout", "model.p=0.2"),
        own(6, "cannot_be_built"),
        own(7, "nowhere"),
    ]
    kinds = trainer.kinds([one.config for one in models])
    assert kinds[0] == kinds[1] == kinds[3]  # it does nothing with its label
    assert len({kinds[0], kinds[2], kinds[4], kinds[5], CANNOT_BE_BUILT}) == 5
    assert kinds[6] == kinds[7] == CANNOT_BE_BUILT


def test_what_may_take_no_time_tries_nothing_further(folder: Path) -> None:
    trainer = Trainer(DataShelf(folder), folder, trial_seconds=1e-9)
    alike = [own(n, "build", f'model.label="{n}"') for n in range(3)]
    assert len(set(trainer.kinds([one.config for one in alike]))) == 3
    plan = trainer.plan([trial(n) for n in range(40)])
    assert set(plan.microseconds) == {1, 16}  # else 32 and 40 follow where 16 pays


def test_telling_models_apart_leaves_the_random_numbers_alone(trainer: Trainer) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2).tolist()
    torch.manual_seed(3)
    trainer.kinds([own(n, "with_dropout", f"model.p=0.{n}").config for n in (1, 2)])
    assert torch.rand(2).tolist() == expected


def test_a_plan_rests_on_measurements(trainer: Trainer) -> None:
    plan = trainer.plan([trial(n) for n in range(8)])
    assert plan.reason == ""
    assert set(plan.microseconds) == {1, 8}
    assert plan.stack == min(plan.microseconds, key=lambda size: plan.microseconds[size])
    assert all(time > 0 for time in plan.microseconds.values())
    assert not plan.one_worker  # too small to share


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("recurrent", "lstm"),
        ("raises", "ValueError: no, thanks"),
        ("cannot_be_built", "out of bricks"),
    ],
)
def test_what_cannot_be_stacked_has_its_reason(folder: Path, function: str, reason: str) -> None:
    trials = [own(n, function) for n in range(3)]
    for option in ("auto", 8):
        plan = Trainer(DataShelf(folder), folder, stack=option).plan(trials)
        assert plan.stack == 1
        assert reason in plan.reason


def test_what_can_be_stacked_needs_no_measurement(folder: Path) -> None:
    trainer = Trainer(DataShelf(folder), folder, stack=8)
    assert trainer.plan([own(n, "build") for n in range(3)]) == Plan(stack=8)


def test_a_cohort_that_is_alone_has_every_core(folder: Path) -> None:
    before = torch.get_num_threads()
    trainer = Trainer(DataShelf(folder), folder, cores=before + 1)
    cohort = Cohort(key="", trials=(trial(0),), stacked=False, one_worker=True)
    during = [torch.get_num_threads() for _ in trainer.train(cohort)]
    assert set(during) == {before + 1}
    assert torch.get_num_threads() == before
