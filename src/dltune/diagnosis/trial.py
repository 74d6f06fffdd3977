"""The diagnosis of one trial of a run: a verdict where it has errors, its failure where not."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Sequence
from typing import Any

from dltune.diagnosis.components import CONFIDENCE, TOLERANCE, Errors
from dltune.diagnosis.finding import Diagnosis, Edit, Finding, Skipped, Verdict
from dltune.diagnosis.remedies import edits_for_divergence, edits_for_memory
from dltune.diagnosis.settings import Settings
from dltune.diagnosis.verdict import diagnose
from dltune.errors import RunFolderError
from dltune.runs.run import Run
from dltune.training.history import TrialRecord, TrialState

UNFINISHED = (TrialState.PRUNED, TrialState.INTERRUPTED)
ERRORS = ("train_error", "dev_error", "test_error", "train_dev_error")
ONLY_ERRORS = "the trial has no errors to judge"


def diagnose_trial(
    trial: TrialRecord,
    run: Run,
    *,
    target: float | None = None,
    tolerance: float = TOLERANCE,
    confidence: float = CONFIDENCE,
) -> Diagnosis:
    """Diagnose one trial, whatever became of it.

    target  human-level or best known error; None takes the one of the run's recipe, else 0.

    A diverged or failed trial gets the finding of its failure and the verdict "inconclusive": its
    errors are those of a training that went wrong, not of a model. A pruned or interrupted one is
    judged by the errors it has, with a warning.

    Raises DiagnosisError for a target, a tolerance or a confidence out of its range.
    """
    facts, trial = run.about.data, _with_finite_errors(trial)
    settings = Settings(
        config=trial.config,
        epochs=trial.epochs,
        best_epoch=trial.best_epoch,
        task=facts.task,
    )
    failure = _failure(trial, settings)
    if failure is not None:
        return _without_errors(trial, failure, tolerance, confidence)
    if trial.train_error is None or trial.dev_error is None:
        return _without_errors(trial, _no_errors(trial), tolerance, confidence)
    known = _target_of(trial, run) if target is None else target
    errors = Errors(
        train=trial.train_error,
        dev=trial.dev_error,
        target=known or 0.0,
        train_dev=trial.train_dev_error,
        test=trial.test_error,
        n_train=trial.examples.get("train"),
        n_dev=trial.examples.get("dev"),
        n_train_dev=trial.examples.get("train_dev"),
        n_test=trial.examples.get("test"),
        proportion=facts.task != "regression",
        target_assumed=known is None,
    )
    found = diagnose(errors, tolerance=tolerance, confidence=confidence, settings=settings)
    early = [_unfinished(trial)] if trial.state in UNFINISHED else []
    chosen = f"The epoch was chosen on the dev set, out of {trial.epochs}"
    trials = f", and the trial out of {len(run.trials)}" if len(run.trials) > 1 else ""
    told = [f"{chosen}{trials}: the dev error flatters a little."]
    if run.accepted:
        told.append(f"The run went on with changes: {'; '.join(run.accepted)}.")
    told += [f"Taken as a {facts.task}: {facts.task_inferred}."] if facts.task_inferred else []
    return dataclasses.replace(
        found,
        trial=trial.number,
        state=trial.state,
        findings=(*found.findings, *early),
        notes=(*found.notes, *told),
    )


def trials_to_diagnose(
    run: Run, number: int | None, *, every: bool = False
) -> Sequence[TrialRecord]:
    """The trials to diagnose: one, all, or the best.

    Raises RunFolderError if there is no such trial.
    """
    if not run.trials:
        hint = (
            "Wait until the first trial has ended, or go on with the run if nobody trains it."
            if run.about.trials
            else f"Type dltune report {shlex.quote(str(run.path))} for what it has found."
        )
        raise RunFolderError(f"{run.path}, a run of {run.about.command}, has no trials", hint=hint)
    if every:
        return run.trials
    if number is not None:
        return [run.trial(number)]
    if run.best is None:
        states = ", ".join(f"{count} {state}" for state, count in run.states.items())
        raise RunFolderError(
            f"{run.path} has no complete trial: {states}",
            hint=f"Type --trial {run.trials[0].number} for what became of it, or --all.",
        )
    return [run.best]


def _target_of(trial: TrialRecord, run: Run) -> float | None:
    target = trial.config.get("objective.target_error")
    return float(target) if run.about.has_target and target is not None else None


def _with_finite_errors(trial: TrialRecord) -> TrialRecord:
    """The same, without errors that are no numbers: those of a training that went wrong."""
    errors = {name: getattr(trial, name) for name in ERRORS}
    odd = [name for name, error in errors.items() if error is not None and not math.isfinite(error)]
    absent: dict[str, Any] = dict.fromkeys(odd)
    return dataclasses.replace(trial, **absent)


def _failure(trial: TrialRecord, settings: Settings) -> Finding | None:
    if trial.state is TrialState.DIVERGED:
        return Finding(
            id="TRIAL001",
            name="diverged",
            severity="error",
            evidence=f"trial {trial.number} diverged after {_epochs(trial)}: {trial.reason}",
            reading="The loss left the finite numbers, so the errors say nothing about the model.",
            edits=edits_for_divergence(settings),
            advice=("Check the data for values that are not finite or not scaled.",),
            doubt="If a tenth of the rate diverges too, the cause is the data or the loss.",
        )
    if trial.state is TrialState.FAILED:
        edits: tuple[Edit, ...] = ()
        if "out of memory" in trial.reason:
            edits = edits_for_memory(settings)
        return Finding(
            id="TRIAL002",
            name="failed",
            severity="error",
            evidence=f"trial {trial.number} failed: {trial.reason}",
            reading="The training did not run, so there is nothing to judge.",
            edits=edits,
            advice=() if edits else ("Mend what the reason names, and train again.",),
        )
    return None


def _epochs(trial: TrialRecord) -> str:
    number = trial.epochs or 0
    return "1 epoch" if number == 1 else f"{number} epochs"


def _no_errors(trial: TrialRecord) -> Finding:
    missing = [
        name
        for name, error in (("train", trial.train_error), ("dev", trial.dev_error))
        if error is None
    ]
    return Finding(
        id="TRIAL003",
        name="no-errors",
        severity="warning",
        evidence=f"trial {trial.number} ({trial.state}) has no {' and no '.join(missing)} error",
        reading="Bias and variance are differences of these errors.",
        advice=("Let the trial finish an epoch: resume the run.",),
    )


def _unfinished(trial: TrialRecord) -> Finding:
    return Finding(
        id="TRIAL004",
        name="unfinished",
        severity="warning",
        evidence=f"trial {trial.number} was {trial.state} after {_epochs(trial)}",
        reading="A training that goes on fits better: the bias is an upper bound.",
    )


def _without_errors(
    trial: TrialRecord, finding: Finding, tolerance: float, confidence: float
) -> Diagnosis:
    checks = ("bias", "variance", "data mismatch", "dev overfit")
    return Diagnosis(
        verdict=Verdict.INCONCLUSIVE,
        headline=f"inconclusive: {finding.evidence}",
        arithmetic="",
        errors=None,
        components=(),
        findings=(finding,),
        skipped=tuple(Skipped(check=check, reason=ONLY_ERRORS) for check in checks),
        notes=(),
        tolerance=tolerance,
        confidence=confidence,
        trial=trial.number,
        state=trial.state,
    )
