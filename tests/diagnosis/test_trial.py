from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from dltune.diagnosis.finding import Diagnosis
from dltune.diagnosis.trial import diagnose_trial, trials_to_diagnose
from dltune.errors import DiagnosisError, RunFolderError
from dltune.runs.about import About, DataFacts
from dltune.runs.run import Run
from dltune.training.history import TrialRecord, TrialState

CONFIG = {
    "data.split.dev": 0.2,
    "data.split.train-dev": 0.0,
    "model.name": "mlp",
    "model.hidden": [64],
    "model.dropout": 0.0,
    "optim.name": "adam",
    "optim.lr": 0.1,
    "optim.weight_decay": 0.0,
    "schedule.warmup": 0.0,
    "train.epochs": 20,
    "train.batch_size": 64,
    "objective.target_error": 0.0,
}
TRIAL = TrialRecord(
    number=3,
    seed=0,
    state=TrialState.COMPLETE,
    objective=0.2,
    best_epoch=12,
    epochs=20,
    train_error=0.12,
    dev_error=0.20,
    examples={"train": 10_000, "curve": 1_000, "dev": 1_000},
    config=CONFIG,
)


def diagnosis_of(
    target: float | None = None,
    /,
    *,
    task: str = "classification",
    task_inferred: str = "",
    state: str = "complete",
    examples: dict[str, int] | None = None,
    **changes: Any,
) -> Diagnosis:
    counted = {**TRIAL.examples, **(examples or {})}
    trial = dataclasses.replace(TRIAL, state=TrialState(state), examples=counted, **changes)
    about = About(
        command="search",
        data=DataFacts(task=task, task_inferred=task_inferred),
        has_target=trial.config["objective.target_error"] is not None,
    )
    run = Run(path=Path("runs/a"), about=about, trials=(trial, trial))
    return diagnose_trial(trial, run, target=target)


def test_a_complete_trial_gets_its_verdict_and_its_edits() -> None:
    diagnosis = diagnosis_of()
    assert diagnosis.verdict == "high bias and high variance"
    assert (diagnosis.trial, diagnosis.state) == (3, "complete")
    assert diagnosis.errors is not None
    assert diagnosis.errors.n_dev == 1_000
    edits = {edit.key: edit for finding in diagnosis.findings for edit in finding.edits}
    assert (edits["model.hidden"].before, edits["model.hidden"].after) == ([64], [128])
    assert (edits["optim.weight_decay"].before, edits["optim.weight_decay"].after) == (0.0, 1e-4)
    assert (
        "The epoch was chosen on the dev set, out of 20, and the trial out of 2: the dev error "
        "flatters a little."
    ) in diagnosis.notes


@pytest.mark.parametrize(
    ("typed", "of_recipe", "target", "assumed"),
    [(None, None, 0.0, True), (None, 0.1, 0.1, False), (0.05, 0.1, 0.05, False)],
)
def test_the_target_is_the_one_typed_then_the_recipes(
    typed: float | None, of_recipe: float | None, target: float, assumed: bool
) -> None:
    diagnosis = diagnosis_of(typed, config=CONFIG | {"objective.target_error": of_recipe})
    assert diagnosis.errors is not None
    assert (diagnosis.errors.target, diagnosis.errors.target_assumed) == (target, assumed)
    said = "A target error of 0 was assumed; objective.target_error in the recipe sets it."
    assert (said in diagnosis.notes) == assumed


def test_a_regression_has_no_intervals() -> None:
    diagnosis = diagnosis_of(task="regression", dev_error=1.4)
    assert [part.interval for part in diagnosis.components] == [None, None]
    assert diagnosis.verdict == "high bias and high variance"


def test_how_the_task_was_told_is_said() -> None:
    diagnosis = diagnosis_of(task_inferred="every error is a whole count of examples")
    assert diagnosis.notes[-1] == (
        "Taken as a classification: every error is a whole count of examples."
    )


def test_a_diverged_trial_is_not_judged_by_its_errors() -> None:
    diagnosis = diagnosis_of(state="diverged", reason="non-finite loss", epochs=4)
    assert diagnosis.verdict == "inconclusive"
    assert diagnosis.headline == "inconclusive: trial 3 diverged after 4 epochs: non-finite loss"
    assert diagnosis.components == ()
    (finding,) = diagnosis.findings
    assert (finding.id, finding.severity) == ("TRIAL001", "error")
    assert [(edit.key, edit.before, edit.after) for edit in finding.edits] == [
        ("optim.lr", 0.1, 0.01),
        ("regularize.clip_norm", None, 1.0),
        ("schedule.warmup", 0.0, 0.1),
    ]
    assert {skipped.reason for skipped in diagnosis.skipped} == {"the trial has no errors to judge"}


def test_a_trial_that_ran_out_of_memory_gets_a_smaller_batch() -> None:
    diagnosis = diagnosis_of(state="failed", reason="out of memory: 12 GiB", train_error=None)
    (finding,) = diagnosis.findings
    assert finding.id == "TRIAL002"
    assert [(edit.key, edit.after) for edit in finding.edits] == [("train.batch_size", 32)]
    assert finding.advice == ()


def test_a_trial_that_failed_otherwise_gets_advice() -> None:
    diagnosis = diagnosis_of(state="failed", reason="user model: no such layer")
    (finding,) = diagnosis.findings
    assert finding.evidence == "trial 3 failed: user model: no such layer"
    assert finding.edits == ()
    assert finding.advice == ("Mend what the reason names, and train again.",)


def test_a_pruned_trial_is_judged_with_a_warning() -> None:
    diagnosis = diagnosis_of(state="pruned", epochs=5)
    assert diagnosis.verdict == "high bias and high variance"
    last = diagnosis.findings[-1]
    assert (last.id, last.evidence) == ("TRIAL004", "trial 3 was pruned after 5 epochs")


@pytest.mark.parametrize(
    ("missing", "evidence"),
    [
        ({"train_error": None}, "trial 3 (interrupted) has no train error"),
        (
            {"train_error": None, "dev_error": None},
            "trial 3 (interrupted) has no train and no dev error",
        ),
    ],
)
def test_a_trial_without_errors_is_inconclusive(missing: dict[str, None], evidence: str) -> None:
    diagnosis = diagnosis_of(state="interrupted", **missing)
    assert diagnosis.verdict == "inconclusive"
    assert diagnosis.findings[0].evidence == evidence
    assert not diagnosis.clean


@pytest.mark.parametrize(
    ("dev_examples", "share", "after"),
    [
        pytest.param(40, 0.2, 0.28, id="55 of 40 examples"),
        pytest.param(40, 0.3, None, id="the share would be too large"),
    ],
)
def test_a_dev_set_that_is_too_small_gets_a_larger_share(
    dev_examples: int, share: float, after: float | None
) -> None:
    diagnosis = diagnosis_of(
        0.02,
        train_error=0.02,
        dev_error=0.06,
        examples={"train": 1_000, "dev": dev_examples},
        config=CONFIG | {"data.split.dev": share},
    )
    (finding,) = diagnosis.findings
    assert finding.id == "VAR002"
    edits = [(edit.key, edit.before, edit.after) for edit in finding.edits]
    assert edits == ([] if after is None else [("data.split.dev", share, after)])


def test_a_dev_set_that_was_overfitted_gets_a_larger_share() -> None:
    diagnosis = diagnosis_of(test_error=0.3, examples={"test": 1_000})
    overfit = next(finding for finding in diagnosis.findings if finding.id == "DEV001")
    assert [(edit.key, edit.after) for edit in overfit.edits] == [("data.split.dev", 0.3)]


def test_a_target_out_of_range_is_refused() -> None:
    with pytest.raises(DiagnosisError, match=r"target error is 5: an error is a share"):
        diagnosis_of(5.0)


class TestWhichTrials:
    """Of a run with gaps in its numbers, as while it is being trained."""

    @staticmethod
    def run_of(*trials: TrialRecord, command: str = "search", wanted: int = 10) -> Run:
        return Run(path=Path("runs/a"), about=About(command=command, trials=wanted), trials=trials)

    @staticmethod
    def trial(number: int, objective: float | None, state: str = "complete") -> TrialRecord:
        return TrialRecord(number=number, seed=0, state=TrialState(state), objective=objective)

    def test_the_best_is_the_smallest_objective_of_the_complete(self) -> None:
        run = self.run_of(
            self.trial(0, 0.3),
            self.trial(1, 0.2),
            self.trial(2, 0.1, "diverged"),
            self.trial(3, 0.2),
            self.trial(4, float("nan")),
        )
        assert trials_to_diagnose(run, None) == [run.trials[1]]
        assert trials_to_diagnose(run, 3) == [run.trials[3]]
        assert trials_to_diagnose(run, None, every=True) == run.trials

    def test_no_such_trial(self) -> None:
        run = self.run_of(self.trial(2, 0.3), self.trial(4, 0.2), self.trial(7, 0.4))
        with pytest.raises(RunFolderError) as refusal:
            trials_to_diagnose(run, 3)
        assert str(refusal.value) == (
            "runs/a has no trial 3: its 3 trials are numbered 2 to 7\nType --trial 2, or --all."
        )

    def test_no_complete_trial(self) -> None:
        run = self.run_of(
            self.trial(2, None, "diverged"),
            self.trial(3, None, "failed"),
            self.trial(5, None, "diverged"),
        )
        with pytest.raises(RunFolderError) as refusal:
            trials_to_diagnose(run, None)
        assert str(refusal.value) == (
            "runs/a has no complete trial: 2 diverged, 1 failed\n"
            "Type --trial 2 for what became of it, or --all."
        )

    def test_no_trials_at_all(self) -> None:
        with pytest.raises(RunFolderError) as refusal:
            trials_to_diagnose(self.run_of(), None)
        assert str(refusal.value) == (
            "runs/a, a run of search, has no trials\n"
            "Wait until the first trial has ended, or go on with the run if nobody trains it."
        )
        with pytest.raises(RunFolderError) as refusal:
            trials_to_diagnose(self.run_of(command="lr-find", wanted=0), None)
        assert str(refusal.value) == (
            "runs/a, a run of lr-find, has no trials\n"
            "Type dltune report runs/a for what it has found."
        )
