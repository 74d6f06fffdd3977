"""From components to findings: the evidence, the reading and the remedies of each."""

from __future__ import annotations

import dataclasses
import math

from dltune.diagnosis import advice
from dltune.diagnosis.components import (
    SLACK,
    Component,
    Errors,
    Name,
    compared,
    errors_size,
    examples_to_settle,
)
from dltune.diagnosis.finding import Edit, Finding
from dltune.diagnosis.intervals import MOST_EXAMPLES, wilson
from dltune.diagnosis.remedies import edits_for_bias, edits_for_variance, tidy
from dltune.diagnosis.settings import Settings
from dltune.diagnosis.wording import count, percent, points, short_percent, span

# Past this ratio a gap within the tolerance is worth a word; a reader of MNIST errors would see it.
RELATIVE_GAP = 3.0
RELATIVE_GAP_ID = "GAP001"
# A larger share for the dev set would take too much from training.
LARGEST_DEV_SHARE = 0.4
# Tolerances to offer for a task with small errors: the usual round numbers.
ROUND_TOLERANCES = (0.01, 0.005, 0.0025, 0.001, 0.0005, 0.00025, 0.0001)

CODES: dict[Name, tuple[str, str, str]] = {
    "bias": ("BIAS", "high-bias", "bias-unclear"),
    "variance": ("VAR", "high-variance", "variance-unclear"),
    "mismatch": ("MIS", "data-mismatch", "mismatch-unclear"),
    "dev overfit": ("DEV", "dev-overfit", "dev-overfit-unclear"),
}
READINGS: dict[Name, str] = {
    "bias": "The model does not fit its own training set; more data of the same kind cannot help.",
    "variance": "The model does worse on examples it was not trained on than on its training set.",
    "mismatch": "The dev data differ from the training data, and the model does not carry over.",
    "dev overfit": "The settings were chosen to suit the dev set, whose error flatters them.",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """What is judged: the errors, their components and the rule's two numbers."""

    errors: Errors
    components: tuple[Component, ...]
    tolerance: float
    confidence: float
    decimals: int
    settings: Settings | None

    def component(self, name: Name) -> Component | None:
        """The component of that name, if its errors are known."""
        return next((part for part in self.components if part.name == name), None)

    def is_high(self, name: Name) -> bool:
        """The component exists and is high."""
        part = self.component(name)
        return part is not None and part.high


def findings_for(case: Case, *, fine: bool) -> tuple[Finding, ...]:
    """All findings: high components from the largest down, then what is unclear, then the rest.

    fine  neither bias nor variance is high or unclear; only then are small gaps worth a word.
    """
    by_size = sorted(case.components, key=lambda part: -part.size)
    high = [_high(part, case) for part in by_size if part.high]
    unclear = [_unclear(part, case) for part in by_size if part.unclear]
    rest = [_dev_below_train(case)]
    if fine and not high and not unclear:
        rest.append(_relative_gap(case))
    if fine:
        rest.append(_small_dev(case))
    return (*high, *unclear, *(finding for finding in rest if finding is not None))


def _high(part: Component, case: Case) -> Finding:
    code, name, _ = CODES[part.name]
    edits, tips = _remedies(part.name, case)
    return Finding(
        id=f"{code}001",
        name=name,
        severity="error",
        evidence=_evidence(part, case),
        reading=READINGS[part.name],
        edits=edits,
        advice=tips,
        ceiling=part.size,
        doubt=_doubt(part, case),
    )


def _evidence(part: Component, case: Case) -> str:
    errors, decimals = case.errors, case.decimals
    if part.name == "bias":
        first, first_size, second = errors.train, "n_train", errors.target
        against = "a target"
    else:
        first, first_size, second, second_size = compared(part.name, errors)
        against = f"a {split_name(second_size)} error"
    text = (
        f"{split_name(first_size)} error {percent(first, decimals)} against {against} of "
        f"{percent(second, decimals)}: {points(part.difference, decimals)} points"
    )
    return text if part.interval is None else f"{text} {span(part.interval, decimals)}"


def split_name(size: str) -> str:
    """The split behind the name of a size.

    >>> split_name("n_train_dev")
    'train-dev'
    """
    return size.removeprefix("n_").replace("_", "-")


def _remedies(name: Name, case: Case) -> tuple[tuple[Edit, ...], tuple[str, ...]]:
    settings = case.settings
    if name == "bias":
        if settings is None:
            return advice.RELATIVE_BIAS, advice.BIAS_ADVICE
        variance_high = case.is_high("variance")
        return edits_for_bias(settings, variance_high=variance_high), advice.BIAS_ADVICE
    if name == "variance":
        if settings is not None:
            return edits_for_variance(settings), advice.VARIANCE_ADVICE
        unknown = case.errors.train_dev is None
        edits = (*advice.RELATIVE_VARIANCE, *([advice.RELATIVE_TRAIN_DEV] if unknown else []))
        return edits, advice.VARIANCE_ADVICE
    if name == "mismatch":
        return (), advice.MISMATCH_ADVICE
    edit = _larger_dev(case, times=1.5)
    return ((edit,) if edit else ()), advice.DEV_OVERFIT_ADVICE


def _larger_dev(case: Case, *, times: float) -> Edit | None:
    """The dev share times a factor, rounded up to a whole percent; None past the bound."""
    share = None if case.settings is None else case.settings.number("data.split.dev")
    if share is None or share * times > LARGEST_DEV_SHARE:
        return None
    after = math.ceil(tidy(100 * share * times)) / 100
    reason = "more dev examples make narrower intervals and are harder to overfit"
    return Edit(key="data.split.dev", before=share, after=after, reason=reason)


def _doubt(part: Component, case: Case) -> str:
    errors, tolerance = case.errors, case.tolerance
    if part.name == "bias":
        # No longer material: bias <= tolerance, and bias < excess / 2 or excess <= tolerance.
        half = min(2 * errors.train - errors.dev, errors.dev - tolerance)
        flip = max(errors.train - tolerance, half)
        given = "No target was given: what" if errors.target_assumed else "What"
        return (
            f"{given} do people, or the best known models, reach? With a target above "
            f"{percent(flip, case.decimals)} this bias is not high."
        )
    if part.interval is None and errors.proportion:
        return f"The gap may be chance: {part.note}."
    if part.name == "variance" and errors.train_dev is None:
        return (
            "If dev examples come from another source than train examples, part of this is a "
            "mismatch: an error on held-out training examples (train-dev) would tell."
        )
    return "Another draw of the examples, or another seed, may give another gap."


def _unclear(part: Component, case: Case) -> Finding:
    code, _, name = CODES[part.name]
    size, needed = examples_to_settle(part, case.errors, confidence=case.confidence)
    have, split = errors_size(case.errors, size) or 0, split_name(size)
    edit = None
    if needed is None and part.name != "bias":
        other = split_name(compared(part.name, case.errors)[3])
        tip = f"No number of {split} examples alone would settle it: get more {other} ones too."
    elif needed is None:
        tip = f"No number of {split} examples up to {count(MOST_EXAMPLES)} would settle it."
    else:
        tip = f"Need about {count(needed)} {split} examples; there are {count(have)}."
        if size == "n_dev":
            edit = _larger_dev(case, times=needed / have)
    return Finding(
        id=f"{code}002",
        name=name,
        severity="warning",
        evidence=f"{_evidence(part, case)}, which contains 0",
        reading="The gap is large enough to matter, but it may be chance.",
        edits=(edit,) if edit else (),
        advice=(tip,),
        ceiling=part.size,
        doubt="More examples: the interval shrinks with the square root of their number.",
    )


def _dev_below_train(case: Case) -> Finding | None:
    part = case.component("variance")
    if part is None:
        return None
    shown = -part.difference > case.tolerance if part.interval is None else part.interval[1] < 0
    if not shown:
        return None
    return Finding(
        id="DEV003",
        name="dev-below-train",
        severity="warning",
        evidence=_evidence(part, case),
        reading="Unseen examples look easier than the training set: variance cannot be seen.",
        advice=advice.DEV_BELOW_TRAIN_ADVICE,
        doubt="Dropout or augmentation during the measurement of the train error explains it all.",
    )


def gap_ratio(errors: Errors) -> float | None:
    """dev / train error if that is beyond `RELATIVE_GAP`; infinity at a train error of 0.

    >>> round(gap_ratio(Errors(train=0.001, dev=0.005)), 6)
    5.0
    >>> gap_ratio(Errors(train=0.01, dev=0.02)) is None
    True
    """
    if errors.dev <= RELATIVE_GAP * errors.train + SLACK:
        return None
    return errors.dev / errors.train if errors.train > 0 else math.inf


def gap_words(ratio: float) -> str:
    """The ratio in words.

    >>> gap_words(5.0), gap_words(math.inf)
    ('5.0 times the train error', 'above a train error of 0')
    """
    return "above a train error of 0" if math.isinf(ratio) else f"{ratio:.1f} times the train error"


def _relative_gap(case: Case) -> Finding | None:
    errors, ratio, part = case.errors, gap_ratio(case.errors), case.component("variance")
    if ratio is None or part is None or part.significant is False:
        return None
    gap = errors.dev - errors.train
    tolerance = next((each for each in ROUND_TOLERANCES if each < gap), ROUND_TOLERANCES[-1])
    return Finding(
        id=RELATIVE_GAP_ID,
        name="relative-gap",
        severity="info",
        evidence=f"dev error {percent(errors.dev, case.decimals)} is {gap_words(ratio)}",
        reading=f"The gap is within {short_percent(case.tolerance)}, but large beside the errors.",
        advice=(f"For a task with errors this small, try --tolerance {short_percent(tolerance)}.",),
        ceiling=gap,
    )


def _small_dev(case: Case) -> Finding | None:
    errors = case.errors
    if not errors.proportion or errors.n_dev is None:
        return None
    low, high = wilson(errors.dev, errors.n_dev, confidence=case.confidence)
    half_width = (high - low) / 2
    if half_width <= case.tolerance:
        return None
    return Finding(
        id="DEV004",
        name="dev-too-small",
        severity="warning",
        evidence=(
            f"{count(errors.n_dev)} dev examples give the dev error only to "
            f"{points(half_width, case.decimals)} points either way"
        ),
        reading=f"A gap of {short_percent(case.tolerance)} could hide in that.",
        advice=("Get more dev examples, or average over several splits.",),
    )
