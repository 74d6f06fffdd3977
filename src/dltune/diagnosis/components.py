"""The parts of an error: bias, variance, mismatch and dev overfit, each with its interval."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from dltune.diagnosis.intervals import examples_needed, newcombe, wilson
from dltune.errors import DiagnosisError

# Two points: the worked examples call a gap of 4 points high and one of 1 point not; whether their
# gap of 2 points is high depends on the rest of the error, which the second clause settles.
TOLERANCE = 0.02
CONFIDENCE = 0.95
# 0.10 - 0.08 is 0.020000000000000004 in binary: a gap of exactly the tolerance is not above it.
SLACK = 1e-9

# More examples than any split has; up to it a whole number is exact as a float.
LARGEST_SIZE = 10**15

Name = Literal["bias", "variance", "mismatch", "dev overfit"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Errors:
    """The errors of one training and the number of examples each was counted on.

    train, dev      error on the split: a share in [0, 1], or 1 - R^2 (0 or more).
    target          human-level or best known error, taken as exact.
    train_dev       error on examples of the training distribution that were not trained on.
    test            error on examples that chose nothing.
    n_*             examples behind each error, 1 to 10^15; None if unknown.
    proportion      the errors are shares of examples; False for 1 - R^2, which has no interval.
    target_assumed  nobody gave the target; it is only said in the answer.

    Raises DiagnosisError for an error or a size out of its range.

    >>> Errors(train=0.12, dev=0.20).dev
    0.2
    """

    train: float
    dev: float
    target: float = 0.0
    train_dev: float | None = None
    test: float | None = None
    n_train: int | None = None
    n_dev: int | None = None
    n_train_dev: int | None = None
    n_test: int | None = None
    proportion: bool = True
    target_assumed: bool = False

    def __post_init__(self) -> None:
        for name in ("train", "dev", "target", "train_dev", "test"):
            _check_error(name, getattr(self, name), proportion=self.proportion)
        for name in ("n_train", "n_dev", "n_train_dev", "n_test"):
            number = getattr(self, name)
            if number is not None and number < 1:
                option = "--" + name.replace("_", "-")
                raise DiagnosisError(
                    f"{option} is {number}: an error is counted on at least 1 example",
                    hint=f"Type the number of examples, or leave {option} out if it is unknown.",
                )
            if number is not None and number > LARGEST_SIZE:
                option = "--" + name.replace("_", "-")
                raise DiagnosisError(
                    f"{option} is above 10^15: more examples than any split has",
                    hint=f"Type the number of examples, or leave {option} out if it is unknown.",
                )


def _check_error(name: str, error: float | None, *, proportion: bool) -> None:
    if error is None or (0 <= error <= 1) or (not proportion and 1 < error < math.inf):
        return
    option, label = f"--{name.replace('_', '-')}-error", name.replace("_", "-")
    if not proportion:
        raise DiagnosisError(
            f"{label} error is {error:g}: 1 - R^2 is a finite number, 0 or more",
            hint=f"Type {option} 0.3 for a model that explains 70 % of the variance.",
        )
    found = f"{label} error is {error:g}: an error is a share, from 0 to 1"
    if 1 < error <= 100:
        typed = f"{error:g}%"
        raise DiagnosisError(found, hint=f"Did you mean {typed}? Type {option} {typed}.")
    raise DiagnosisError(found, hint=f"Type a share such as {option} 0.12, or {option} 12%.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Component:
    """One part of an error.

    name         bias, variance, mismatch or dev overfit.
    difference   the two errors subtracted; negative when they stand the other way round.
    interval     of the difference; None when it cannot be computed (see `note`).
    material     large enough to matter: the first clause of the rule.
    significant  the interval lies above 0; None without an interval.
    note         why there is no interval, or in what way it is approximate; may be empty.
    """

    name: Name
    difference: float
    interval: tuple[float, float] | None
    material: bool
    significant: bool | None
    note: str = ""

    @property
    def size(self) -> float:
        """max(0, difference)."""
        return max(0.0, self.difference)

    @property
    def high(self) -> bool:
        """Material, and not shown to be within the noise of the sample."""
        return self.material and self.significant is not False

    @property
    def unclear(self) -> bool:
        """Material, but zero lies in the interval: more examples would tell."""
        return self.material and self.significant is False


def components(
    errors: Errors, *, tolerance: float = TOLERANCE, confidence: float = CONFIDENCE
) -> tuple[Component, ...]:
    """Split an error into its parts; mismatch and dev overfit only where their errors are given.

    tolerance   share above which a part matters, in [0, 1).
    confidence  of the intervals, in (0, 1).

    bias = train - target ; variance = (train_dev or dev) - train ; mismatch = dev - train_dev ;
    dev overfit = test - dev ; excess = dev - target.
    A part c is material if c > tolerance, or if excess > tolerance and c >= excess / 2.

    Raises DiagnosisError for a tolerance or a confidence out of its range.

    >>> [(c.name, round(c.size, 2), c.high) for c in components(Errors(train=0.12, dev=0.20))]
    [('bias', 0.12, True), ('variance', 0.08, True)]

    Source: Ng, Machine Learning Yearning, chapters 20-23 (bias and variance), 40-41 (mismatch);
    the two-clause rule is ours, fitted to the worked examples in docs/diagnose.md.
    """
    _check_rule(tolerance, confidence)
    parts: list[tuple[Name, float]] = [("bias", errors.train - errors.target)]
    unseen = errors.dev if errors.train_dev is None else errors.train_dev
    parts.append(("variance", unseen - errors.train))
    if errors.train_dev is not None:
        parts.append(("mismatch", errors.dev - errors.train_dev))
    if errors.test is not None:
        parts.append(("dev overfit", errors.test - errors.dev))
    excess = errors.dev - errors.target
    return tuple(
        _component(name, difference, errors, excess, tolerance, confidence)
        for name, difference in parts
    )


def _check_rule(tolerance: float, confidence: float) -> None:
    if not 0 <= tolerance < 1:
        meant = f"Did you mean {tolerance:g}%?" if 1 <= tolerance < 100 else "Type --tolerance 2%."
        found = f"--tolerance is {tolerance:g}: it is a share, at least 0 and below 1"
        raise DiagnosisError(found, hint=meant)
    # Within 1e-16 of 1 the quantile is infinite, and so is every interval.
    if not (confidence > 0 and 0.5 + confidence / 2 < 1):
        percentage = 1 < confidence < 100
        meant = f"Did you mean {confidence:g}%?" if percentage else "Type --confidence 95%."
        found = f"--confidence is {confidence:g}: it is a share, above 0 and below 1"
        raise DiagnosisError(found, hint=meant)


def _component(
    name: Name,
    difference: float,
    errors: Errors,
    excess: float,
    tolerance: float,
    confidence: float,
) -> Component:
    part = max(0.0, difference)
    material = part > tolerance + SLACK or (
        excess > tolerance + SLACK and part >= excess / 2 - SLACK
    )
    interval, note = _interval(name, errors, confidence)
    significant = None if interval is None else interval[0] > 0
    return Component(
        name=name,
        difference=difference,
        interval=interval,
        material=material,
        significant=significant,
        note=note,
    )


def _interval(
    name: Name, errors: Errors, confidence: float
) -> tuple[tuple[float, float] | None, str]:
    """The interval of a part and what to know about it; None where a size is missing."""
    if not errors.proportion:
        return None, "1 - R^2 is not a share of examples, so it has no Wilson interval"
    if name == "bias":
        if errors.n_train is None:
            return None, "n_train is unknown"
        low, high = wilson(errors.train, errors.n_train, confidence=confidence)
        return (low - errors.target, high - errors.target), ""
    first, first_size, second, second_size = compared(name, errors)
    missing = [
        size
        for size, number in (
            (first_size, errors_size(errors, first_size)),
            (second_size, errors_size(errors, second_size)),
        )
        if number is None and size != "n_train"
    ]
    if missing:
        return None, f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} unknown"
    n_first = errors_size(errors, first_size)
    n_second = errors_size(errors, second_size)
    assert n_first is not None
    interval = newcombe(first, n_first, second, n_second, confidence=confidence)
    exact = second_size == "n_train" and n_second is None
    return interval, "n_train is unknown, so the train error is taken as exact" if exact else ""


def errors_size(errors: Errors, size: str) -> int | None:
    """The number of examples stored under a size's name."""
    number: int | None = getattr(errors, size)
    return number


def compared(name: Name, errors: Errors) -> tuple[float, str, float, str]:
    """The two errors that a difference subtracts, each with the name of its size.

    >>> compared("variance", Errors(train=0.1, dev=0.3))
    (0.3, 'n_dev', 0.1, 'n_train')
    """
    train_dev = errors.train_dev
    if name == "dev overfit" and errors.test is not None:
        return errors.test, "n_test", errors.dev, "n_dev"
    if name == "mismatch" and train_dev is not None:
        return errors.dev, "n_dev", train_dev, "n_train_dev"
    if name == "variance" and train_dev is not None:
        return train_dev, "n_train_dev", errors.train, "n_train"
    if name == "variance":
        return errors.dev, "n_dev", errors.train, "n_train"
    raise ValueError(f"{name} is not a difference of two measured errors here")


def examples_to_settle(
    component: Component, errors: Errors, *, confidence: float
) -> tuple[str, int | None]:
    """The split that is too small for a component, and the size at which its interval leaves 0.

    The errors and the sizes of the other splits stay as they are. None instead of a size if no size
    of this split alone suffices.

    >>> errors = Errors(train=0.10, dev=0.14, n_train=1000, n_dev=100)
    >>> examples_to_settle(components(errors)[1], errors, confidence=0.95)
    ('n_dev', 304)
    """
    if component.name == "bias":
        size = errors.n_train or 1
        needed = examples_needed(
            lambda number: wilson(errors.train, number, confidence=confidence)[0],
            above=errors.target,
            at_least=size,
        )
        return "n_train", needed
    first, first_size, second, second_size = compared(component.name, errors)
    n_second = errors_size(errors, second_size)
    needed = examples_needed(
        lambda number: newcombe(first, number, second, n_second, confidence=confidence)[0],
        above=0.0,
        at_least=errors_size(errors, first_size) or 1,
    )
    return first_size, needed
