"""The diagnosis of one trial of a run: a verdict where it has errors, its failure where not."""

from __future__ import annotations

import dataclasses

from dltune.diagnosis.components import CONFIDENCE, TOLERANCE, Errors
from dltune.diagnosis.finding import Diagnosis, Edit, Finding, Skipped, Verdict
from dltune.diagnosis.readers.run_folder import Run, TrialRow
from dltune.diagnosis.remedies import edits_for_divergence, edits_for_memory
from dltune.diagnosis.settings import Settings
from dltune.diagnosis.verdict import diagnose

UNFINISHED = ("pruned", "interrupted")
ONLY_ERRORS = "the trial has no errors to judge"


def diagnose_trial(
    row: TrialRow,
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
    settings = Settings(
        config=row.config, epochs=row.epochs, best_epoch=row.best_epoch, task=run.task
    )
    failure = _failure(row, settings)
    if failure is not None:
        return _without_errors(row, failure, tolerance, confidence)
    if row.train_error is None or row.dev_error is None:
        return _without_errors(row, _no_errors(row), tolerance, confidence)
    known = run.target_error if target is None else target
    errors = Errors(
        train=row.train_error,
        dev=row.dev_error,
        target=known or 0.0,
        train_dev=row.train_dev_error,
        test=row.test_error,
        n_train=row.train_examples,
        n_dev=row.dev_examples,
        n_train_dev=row.train_dev_examples,
        n_test=row.test_examples,
        proportion=run.task != "regression",
        target_assumed=known is None,
    )
    found = diagnose(errors, tolerance=tolerance, confidence=confidence, settings=settings)
    early = [_unfinished(row)] if row.state in UNFINISHED else []
    chosen = f"The epoch was chosen on the dev set, out of {row.epochs}"
    trials = f", and the trial out of {len(run.trials)}" if len(run.trials) > 1 else ""
    told = [f"{chosen}{trials}: the dev error flatters a little."]
    told += [f"Taken as a {run.task}: {run.task_inferred}."] if run.task_inferred else []
    return dataclasses.replace(
        found,
        trial=row.number,
        state=row.state,
        findings=(*found.findings, *early),
        notes=(*found.notes, *told),
    )


def _failure(row: TrialRow, settings: Settings) -> Finding | None:
    if row.state == "diverged":
        return Finding(
            id="TRIAL001",
            name="diverged",
            severity="error",
            evidence=f"trial {row.number} diverged after {_epochs(row)}: {row.reason}",
            reading="The loss left the finite numbers, so the errors say nothing about the model.",
            edits=edits_for_divergence(settings),
            advice=("Check the data for values that are not finite or not scaled.",),
            doubt="If a tenth of the rate diverges too, the cause is the data or the loss.",
        )
    if row.state == "failed":
        edits: tuple[Edit, ...] = ()
        if "out of memory" in row.reason:
            edits = edits_for_memory(settings)
        return Finding(
            id="TRIAL002",
            name="failed",
            severity="error",
            evidence=f"trial {row.number} failed: {row.reason}",
            reading="The training did not run, so there is nothing to judge.",
            edits=edits,
            advice=() if edits else ("Mend what the reason names, and train again.",),
        )
    return None


def _epochs(row: TrialRow) -> str:
    number = row.epochs or 0
    return "1 epoch" if number == 1 else f"{number} epochs"


def _no_errors(row: TrialRow) -> Finding:
    missing = [
        name
        for name, error in (("train", row.train_error), ("dev", row.dev_error))
        if error is None
    ]
    return Finding(
        id="TRIAL003",
        name="no-errors",
        severity="warning",
        evidence=f"trial {row.number} ({row.state}) has no {' and no '.join(missing)} error",
        reading="Bias and variance are differences of these errors.",
        advice=("Let the trial finish an epoch: resume the run.",),
    )


def _unfinished(row: TrialRow) -> Finding:
    return Finding(
        id="TRIAL004",
        name="unfinished",
        severity="warning",
        evidence=f"trial {row.number} was {row.state} after {_epochs(row)}",
        reading="A training that goes on fits better: the bias is an upper bound.",
    )


def _without_errors(
    row: TrialRow, finding: Finding, tolerance: float, confidence: float
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
        trial=row.number,
        state=row.state,
    )
