"""The core verdict: fine, high bias, high variance, both, or inconclusive."""

from __future__ import annotations

from dltune.diagnosis.components import (
    CONFIDENCE,
    TOLERANCE,
    Component,
    Errors,
    compared,
    components,
    errors_size,
)
from dltune.diagnosis.finding import Diagnosis, Finding, Skipped, Verdict
from dltune.diagnosis.judgement import RELATIVE_GAP_ID, Case, findings_for, split_name
from dltune.diagnosis.settings import Settings
from dltune.diagnosis.wording import count, decimals_for, percent, points, short_percent, span

# A high or unclear component beside the verdict, in the words of the headline.
BESIDE = {"mismatch": "data mismatch", "dev overfit": "dev overfit"}


def diagnose(
    errors: Errors,
    *,
    tolerance: float = TOLERANCE,
    confidence: float = CONFIDENCE,
    settings: Settings | None = None,
) -> Diagnosis:
    """Split the dev error into bias and variance, and say what to change.

    tolerance   share above which a component matters, in [0, 1).
    confidence  of the intervals, in (0, 1).
    settings    of the training, if known: edits then carry values instead of relative statements.

    A component is high if it is material (see `components`) and, where the number of examples is
    known, its interval lies above 0. Bias or variance that is material but not significant makes
    the answer inconclusive, unless the other one is high. Mismatch and dev overfit are findings
    beside the verdict.

    Raises DiagnosisError for a tolerance or a confidence out of its range.

    >>> diagnose(Errors(train=0.12, dev=0.20)).verdict.value
    'high bias and high variance'
    >>> diagnose(Errors(train=0.01, dev=0.02)).verdict.value
    'fine'
    """
    parts = components(errors, tolerance=tolerance, confidence=confidence)
    verdict = verdict_of(parts)
    shown = [errors.train, errors.dev, errors.target, errors.train_dev or 0.0, errors.test or 0.0]
    case = Case(
        errors=errors,
        components=parts,
        tolerance=tolerance,
        confidence=confidence,
        decimals=decimals_for(shown),
        settings=settings,
    )
    findings = findings_for(case, fine=verdict is Verdict.FINE)
    return Diagnosis(
        verdict=verdict,
        headline=_headline(verdict, case, findings),
        arithmetic=_arithmetic(case),
        errors=errors,
        components=parts,
        findings=findings,
        skipped=_skipped(case),
        notes=_notes(case),
        tolerance=tolerance,
        confidence=confidence,
    )


def verdict_of(parts: tuple[Component, ...]) -> Verdict:
    """The verdict of the components; only bias and variance count.

    >>> verdict_of(components(Errors(train=0.01, dev=0.12)))
    <Verdict.VARIANCE: 'high variance'>
    """
    core = {part.name: part for part in parts}
    bias, variance = core["bias"], core["variance"]
    if bias.high and variance.high:
        return Verdict.BOTH
    if bias.high or variance.high:
        return Verdict.BIAS if bias.high else Verdict.VARIANCE
    return Verdict.INCONCLUSIVE if bias.unclear or variance.unclear else Verdict.FINE


def _headline(verdict: Verdict, case: Case, findings: tuple[Finding, ...]) -> str:
    beside = [f"{BESIDE[part.name]} is high" for part in case.components if _is_beside(part)]
    unclear = [BESIDE.get(part.name, part.name) for part in case.components if part.unclear]
    if unclear:
        beside.append(f"{' and '.join(unclear)} may be chance")
    if verdict is not Verdict.FINE:
        return "; ".join([verdict.value, *beside])
    tolerance = f"at a tolerance of {100 * case.tolerance:.6g} points"
    if beside:
        return f"fine for bias and variance {tolerance}, but {', and '.join(beside)}"
    gaps = [finding.evidence for finding in findings if finding.id == RELATIVE_GAP_ID]
    return "; ".join([f"fine {tolerance}", *gaps])


def _is_beside(part: Component) -> bool:
    return part.high and part.name in BESIDE


def _arithmetic(case: Case) -> str:
    """Where the dev error comes from, in one sentence."""
    errors, decimals = case.errors, case.decimals
    target = [f"{points(errors.target, decimals)} is the target"] if errors.target > 0 else []
    parts = [_part_words(part, case) for part in case.components if part.name != "dev overfit"]
    text = f"Of {percent(errors.dev, decimals)} dev error, {', '.join([*target, *parts])}."
    overfit = case.component("dev overfit")
    if overfit is not None and errors.test is not None:
        test = percent(errors.test, decimals)
        text += f" Of {test} test error, {_part_words(overfit, case)}."
    return text


def _part_words(part: Component, case: Case) -> str:
    size = points(part.size, case.decimals)
    if part.interval is None:
        return f"{size} is {part.name}"
    used = ["n_train"] if part.name == "bias" else list(compared(part.name, case.errors)[1::2])
    numbers = [(name, errors_size(case.errors, name)) for name in used]
    known = ", ".join(f"{name} {count(number)}" for name, number in numbers if number is not None)
    return f"{size} {span(part.interval, case.decimals)} ({known}) is {part.name}"


def _skipped(case: Case) -> tuple[Skipped, ...]:
    errors, run = case.errors, case.settings is not None
    skipped = []
    for part in case.components:
        if part.interval is None:
            skipped.append(Skipped(check=f"interval of the {part.name}", reason=part.note))
    if errors.train_dev is None:
        how = "data.split.train-dev is 0" if run else "no --train-dev-error"
        skipped.append(Skipped(check="data mismatch", reason=how))
    if errors.test is None:
        how = "no test error" if run else "no --test-error"
        skipped.append(Skipped(check="dev overfit", reason=how))
    curves = "only the errors of the best epoch are judged" if run else "two errors have no history"
    skipped.append(Skipped(check="curves", reason=curves))
    seeds = "one training: an interval covers the draw of the examples, not the seed"
    skipped.append(Skipped(check="spread over seeds", reason=seeds))
    return tuple(skipped)


def _notes(case: Case) -> tuple[str, ...]:
    errors, decimals, notes = case.errors, case.decimals, []
    if errors.target_assumed:
        how = "objective.target_error in the recipe" if case.settings else "--target-error"
        notes.append(f"A target error of 0 was assumed; {how} sets it.")
    if not errors.proportion:
        notes.append("Errors are 1 - R^2: the share of the variance that is left, in percent.")
    for part in case.components:
        below = points(-part.difference, decimals)
        if part.difference < 0 and float(below) > 0 and part.name != "dev overfit":
            first, second = _order(part, errors)
            notes.append(
                f"The {first} error is {below} points below the {second}: {part.name} counts as 0, "
                "and the parts do not add up."
            )
        if part.interval is not None and part.note:
            notes.append(f"In the interval of the {part.name}, {part.note}.")
    if any(part.interval is not None for part in case.components[1:]):
        notes.append(
            f"Intervals: {short_percent(case.confidence)}, approximate; the train error is treated "
            "as if it were counted on a fresh sample."
        )
    return tuple(notes)


def _order(part: Component, errors: Errors) -> tuple[str, str]:
    """The error that is subtracted from, and the one that is subtracted, by name."""
    if part.name == "bias":
        return "train", "target"
    _, first, _, second = compared(part.name, errors)
    return split_name(first), f"{split_name(second)} error"
