from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dltune.diagnosis.components import Errors, components
from dltune.diagnosis.finding import Diagnosis
from dltune.diagnosis.verdict import diagnose

SHARES = st.floats(0, 1)
FINE, BIAS, VARIANCE = "fine", "high bias", "high variance"
BOTH = "high bias and high variance"


def ids(diagnosis: Diagnosis) -> list[str]:
    return [finding.id for finding in diagnosis.findings]


# (train, dev, target, train-dev, verdict, mismatch)
WORKED_EXAMPLES = [
    # the lectures' table of four cases
    pytest.param(0.01, 0.12, 0.0, None, VARIANCE, False, id="table 1"),
    pytest.param(0.12, 0.13, 0.0, None, BIAS, False, id="table 2"),
    pytest.param(0.12, 0.20, 0.0, None, BOTH, False, id="table 3"),
    pytest.param(0.01, 0.02, 0.0, None, FINE, False, id="table 4"),
    # Ng, Machine Learning Yearning: chapters 20, 21 and 40
    pytest.param(0.01, 0.11, 0.0, None, VARIANCE, False, id="yearning 1"),
    pytest.param(0.15, 0.16, 0.0, None, BIAS, False, id="yearning 2"),
    pytest.param(0.15, 0.30, 0.0, None, BOTH, False, id="yearning 3"),
    pytest.param(0.005, 0.01, 0.0, None, FINE, False, id="yearning 4"),
    pytest.param(0.01, 0.05, 0.0, 0.05, VARIANCE, False, id="yearning 5"),
    pytest.param(0.10, 0.12, 0.0, 0.11, BIAS, False, id="yearning 6"),
    pytest.param(0.10, 0.20, 0.0, 0.11, BIAS, True, id="yearning 7"),
    pytest.param(0.145, 0.26, 0.14, None, VARIANCE, False, id="yearning 8"),
    # the course: the same run beside two human errors
    pytest.param(0.08, 0.10, 0.01, None, BIAS, False, id="course 1"),
    pytest.param(0.08, 0.10, 0.075, None, VARIANCE, False, id="course 2"),
]


@pytest.mark.parametrize(
    ("train", "dev", "target", "train_dev", "verdict", "mismatch"), WORKED_EXAMPLES
)
def test_worked_examples(
    train: float, dev: float, target: float, train_dev: float | None, verdict: str, mismatch: bool
) -> None:
    diagnosis = diagnose(Errors(train=train, dev=dev, target=target, train_dev=train_dev))
    assert diagnosis.verdict == verdict
    assert ("MIS001" in ids(diagnosis)) == mismatch
    assert ("BIAS001" in ids(diagnosis)) == (verdict in (BIAS, BOTH))
    assert ("VAR001" in ids(diagnosis)) == (verdict in (VARIANCE, BOTH))


@given(train=SHARES, dev=SHARES, target=SHARES)
def test_every_error_has_a_verdict_without_sizes(train: float, dev: float, target: float) -> None:
    diagnosis = diagnose(Errors(train=train, dev=dev, target=target))
    bias, variance = diagnosis.components
    expected = {
        (False, False): FINE,
        (True, False): BIAS,
        (False, True): VARIANCE,
        (True, True): BOTH,
    }
    assert diagnosis.verdict == expected[bias.high, variance.high]
    json.dumps(diagnosis.to_json(), allow_nan=False)


@given(train=SHARES, dev=SHARES, n_train=st.integers(1, 400), n_dev=st.integers(1, 400))
def test_inconclusive_says_how_many_examples_settle_it(
    train: float, dev: float, n_train: int, n_dev: int
) -> None:
    errors = Errors(train=train, dev=dev, n_train=n_train, n_dev=n_dev)
    diagnosis = diagnose(errors)
    if diagnosis.verdict != "inconclusive":
        return
    tips = [tip for finding in diagnosis.findings for tip in finding.advice]
    assert any("examples" in tip for tip in tips)
    assert not any(finding.severity == "error" for finding in diagnosis.findings)
    assert not diagnosis.clean


def test_the_number_of_examples_settles_it_and_one_less_does_not() -> None:
    errors = Errors(train=0.02, dev=0.06, target=0.02, n_train=1_000, n_dev=40)
    diagnosis = diagnose(errors)
    assert diagnosis.verdict == "inconclusive"
    assert diagnosis.headline == "inconclusive; variance may be chance"
    (finding,) = diagnosis.findings
    assert (finding.id, finding.severity) == ("VAR002", "warning")
    assert finding.advice == ("Need about 55 dev examples; there are 40.",)
    enough = components(dataclasses.replace(errors, n_dev=55))[1]
    too_few = components(dataclasses.replace(errors, n_dev=54))[1]
    assert enough.high
    assert too_few.unclear


def test_no_number_of_dev_examples_helps_beside_a_tiny_train_set() -> None:
    diagnosis = diagnose(Errors(train=0.0, dev=0.05, n_train=5, n_dev=60))
    assert diagnosis.verdict == "inconclusive"
    assert diagnosis.findings[0].advice == (
        "No number of dev examples alone would settle it: get more train ones too.",
    )


def test_bias_may_be_chance_too() -> None:
    diagnosis = diagnose(Errors(train=0.10, dev=0.10, target=0.07, n_train=50, n_dev=5_000))
    assert diagnosis.verdict == "inconclusive"
    (finding,) = diagnosis.findings
    assert finding.id == "BIAS002"
    # Wilson's lower bound exceeds t where n > z^2 t (1 - t) / (p - t)^2 = 277.9
    assert finding.advice == ("Need about 278 train examples; there are 50.",)


def test_a_clear_part_decides_beside_an_unclear_one() -> None:
    diagnosis = diagnose(Errors(train=0.10, dev=0.14, n_train=1_000, n_dev=50))
    assert diagnosis.verdict == BIAS
    assert ids(diagnosis) == ["BIAS001", "VAR002"]
    assert diagnosis.headline == "high bias; variance may be chance"


def test_findings_come_by_size_of_their_part() -> None:
    diagnosis = diagnose(Errors(train=0.05, dev=0.25, train_dev=0.14, test=0.45))
    assert ids(diagnosis) == ["DEV001", "MIS001", "VAR001", "BIAS001"]
    assert [round(finding.ceiling or 0, 2) for finding in diagnosis.findings] == [
        0.20, 0.11, 0.09, 0.05,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "finding", "headline"),
    [
        (
            {"train_dev": 0.02, "dev": 0.12},
            "MIS001",
            "fine for bias and variance at a tolerance of 2 points, but data mismatch is high",
        ),
        (
            {"test": 0.12},
            "DEV001",
            "fine for bias and variance at a tolerance of 2 points, but dev overfit is high",
        ),
        (
            {"test": 0.06, "n_test": 30, "n_dev": 5_000},
            "DEV002",
            "fine for bias and variance at a tolerance of 2 points, but dev overfit may be chance",
        ),
    ],
)
def test_what_stands_beside_a_fine_verdict(
    more: dict[str, float], finding: str, headline: str
) -> None:
    diagnosis = diagnose(Errors(**{"train": 0.01, "dev": 0.02} | more))
    assert diagnosis.verdict == FINE
    assert diagnosis.headline == headline
    assert ids(diagnosis) == [finding]
    # an error beside the verdict is not fine; what may be chance is
    assert diagnosis.clean == (finding == "DEV002")


def test_a_large_ratio_of_small_errors_is_worth_a_word() -> None:
    diagnosis = diagnose(Errors(train=0.001, dev=0.005))
    assert diagnosis.verdict == FINE
    assert diagnosis.clean
    assert diagnosis.headline == (
        "fine at a tolerance of 2 points; dev error 0.50 % is 5.0 times the train error"
    )
    (finding,) = diagnosis.findings
    assert finding.advice == ("For a task with errors this small, try --tolerance 0.25%.",)
    assert diagnose(Errors(train=0.001, dev=0.005), tolerance=0.0025).verdict == VARIANCE


@pytest.mark.parametrize(
    "errors",
    [
        pytest.param(Errors(train=0.005, dev=0.015), id="three times is not more than three"),
        pytest.param(Errors(train=0.001, dev=0.005, n_train=500, n_dev=500), id="may be chance"),
        pytest.param(Errors(train=0.0, dev=0.0), id="no error at all"),
    ],
)
def test_no_word_on_a_ratio(errors: Errors) -> None:
    assert "GAP001" not in ids(diagnose(errors))


def test_a_train_error_of_zero_has_no_ratio() -> None:
    diagnosis = diagnose(Errors(train=0.0, dev=0.006))
    assert diagnosis.findings[0].evidence == "dev error 0.60 % is above a train error of 0"


def test_a_small_dev_set_can_hide_a_gap() -> None:
    diagnosis = diagnose(Errors(train=0.01, dev=0.02, n_train=10_000, n_dev=100))
    assert diagnosis.verdict == FINE
    assert ids(diagnosis) == ["DEV004"]
    assert diagnosis.findings[0].evidence == (
        "100 dev examples give the dev error only to 3.2 points either way"
    )
    larger = diagnose(Errors(train=0.01, dev=0.02, n_train=10_000, n_dev=1_000))
    assert ids(larger) == []


@pytest.mark.parametrize(
    ("errors", "fires"),
    [
        (Errors(train=0.10, dev=0.05), True),
        (Errors(train=0.10, dev=0.09), False),
        (Errors(train=0.10, dev=0.05, n_train=1_000, n_dev=1_000), True),
        (Errors(train=0.10, dev=0.05, n_train=1_000, n_dev=30), False),
    ],
)
def test_a_dev_error_below_the_train_error(errors: Errors, fires: bool) -> None:
    diagnosis = diagnose(errors)
    assert ("DEV003" in ids(diagnosis)) == fires
    assert any("below the train" in note for note in diagnosis.notes)


def test_the_arithmetic_is_printed() -> None:
    errors = Errors(train=0.12, dev=0.20, n_train=10_000, n_dev=1_000)
    assert diagnose(errors).arithmetic == (
        "Of 20.0 % dev error, 12.0 [11.4, 12.7] (n_train 10,000) is bias, "
        "8.0 [5.5, 10.7] (n_dev 1,000, n_train 10,000) is variance."
    )
    assert diagnose(Errors(train=0.145, dev=0.26, target=0.14, test=0.3)).arithmetic == (
        "Of 26.0 % dev error, 14.0 is the target, 0.5 is bias, 11.5 is variance. "
        "Of 30.0 % test error, 4.0 is dev overfit."
    )


def test_it_is_said_what_was_assumed_and_what_was_not_checked() -> None:
    diagnosis = diagnose(Errors(train=0.12, dev=0.20, n_dev=1_000, target_assumed=True))
    assert diagnosis.notes == (
        "A target error of 0 was assumed; --target-error sets it.",
        "In the interval of the variance, n_train is unknown, so the train error is taken as "
        "exact.",
        "Intervals: 95%, approximate; the train error is treated as if it were counted on a fresh "
        "sample.",
    )
    assert [skipped.check for skipped in diagnosis.skipped] == [
        "interval of the bias",
        "data mismatch",
        "dev overfit",
        "curves",
        "spread over seeds",
    ]
    doubt = diagnosis.findings[0].doubt
    assert doubt.startswith("No target was given: what do people, or the best known models, reach?")


@given(train=SHARES, dev=SHARES, target=SHARES, tolerance=st.floats(0, 0.3))
def test_the_target_at_which_bias_is_no_longer_high(
    train: float, dev: float, target: float, tolerance: float
) -> None:
    diagnosis = diagnose(Errors(train=train, dev=dev, target=target), tolerance=tolerance)
    bias = diagnosis.components[0]
    if not bias.high:
        return
    flip = max(train - tolerance, min(2 * train - dev, dev - tolerance))
    for nudge, still_high in ((-1e-6, True), (1e-6, False)):
        if 0 <= flip + nudge <= 1:
            moved = Errors(train=train, dev=dev, target=flip + nudge)
            assert components(moved, tolerance=tolerance)[0].high == still_high
    shown = f"With a target above {100 * flip:.1f} %".replace("-0.0 ", "0.0 ")
    if min(value for value in (train, dev, target, 1.0) if value) >= 0.01:
        assert shown in diagnosis.findings[ids(diagnosis).index("BIAS001")].doubt


def test_regression_errors_are_judged_without_intervals() -> None:
    diagnosis = diagnose(Errors(train=0.45, dev=1.2, target=0.5, proportion=False))
    assert diagnosis.verdict == VARIANCE
    assert diagnosis.notes == (
        "Errors are 1 - R^2: the share of the variance that is left, in percent.",
        "The train error is 5.0 points below the target: bias counts as 0, and the parts do not "
        "add up.",
    )


def test_bare_numbers_get_relative_edits() -> None:
    diagnosis = diagnose(Errors(train=0.12, dev=0.20))
    edits = [edit.to_json() for finding in diagnosis.findings for edit in finding.edits]
    assert {edit["from"] for edit in edits} == {None}
    assert [(edit["key"], edit["to"]) for edit in edits] == [
        ("model.hidden", "x2"),
        ("train.epochs", "x2"),
        ("optim.lr", "x0.1 to x10"),
        ("optim.weight_decay", "x10, at least 1e-4"),
        ("model.dropout", "+0.2, at most 0.5"),
        ("regularize.early_stop", "epochs / 10, at least 3"),
        ("data.split.train-dev", "0.1"),
    ]
    known = diagnose(Errors(train=0.01, dev=0.12, train_dev=0.12))
    assert "data.split.train-dev" not in {edit.key for edit in known.findings[0].edits}


def test_a_diagnosis_of_numbers_is_light() -> None:
    program = (
        "import sys\n"
        "from dltune.diagnosis.components import Errors\n"
        "from dltune.diagnosis.verdict import diagnose\n"
        "from dltune.report.diagnosis import render_diagnosis\n"
        "from dltune.report.terminal import render\n"
        "print(render(render_diagnosis(diagnose(Errors(train=0.12, dev=0.2, n_dev=9)))))\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("high bias; variance may be chance")
    loaded = set(done.stdout.splitlines()[-1].split())
    heavy = {"torch", "pandas", "optuna", "scipy", "numpy", "pydantic", "sklearn", "typer"}
    assert loaded & heavy == set()
