from __future__ import annotations

from pathlib import Path

import pytest

from dltune.diagnosis.components import Errors
from dltune.diagnosis.finding import Diagnosis
from dltune.diagnosis.settings import Settings
from dltune.diagnosis.trial import diagnose_trial
from dltune.diagnosis.verdict import diagnose
from dltune.report.diagnosis import render_diagnosis, render_trials
from dltune.report.terminal import render
from dltune.runs.about import About, DataFacts
from dltune.runs.run import Run
from dltune.training.history import TrialRecord, TrialState

GOLDEN = Path(__file__).parent.parent / "golden"
CONFIG = {
    "data.split.dev": 0.2,
    "data.split.train-dev": 0.0,
    "model.hidden": [128, 128],
    "model.dropout": 0.07142857142857142,
    "optim.lr": 0.0006040462538678254,
    "optim.weight_decay": 0.0,
    "regularize.clip_norm": None,
    "schedule.warmup": 0.0,
    "train.epochs": 20,
    "objective.target_error": 0.0,
}
SETTINGS = Settings(config=CONFIG, epochs=20, best_epoch=20, task="classification")


def trial_diagnoses() -> list[Diagnosis]:
    """A good, a diverged, a high-variance and an interrupted trial."""
    rows = [
        ("complete", 0.01, 0.02, ""),
        ("diverged", None, None, "non-finite loss"),
        ("complete", 0.0, 0.12, ""),
        ("interrupted", None, None, "Ctrl-C"),
    ]
    table = [
        TrialRecord(
            number=number, seed=0, state=TrialState(state), reason=reason, objective=dev,
            best_epoch=3, epochs=4, train_error=train, dev_error=dev,
            examples={"train": 1_000, "dev": 300}, config=CONFIG,
        )
        for number, (state, train, dev, reason) in enumerate(rows)
    ]  # fmt: skip
    about = About(command="search", data=DataFacts(task="classification"), has_target=True)
    run = Run(path=Path("runs/a"), about=about, trials=tuple(table))
    return [diagnose_trial(row, run) for row in table]


def golden(name: str) -> str:
    return (GOLDEN / f"diagnose_{name}.txt").read_text(encoding="utf-8").removesuffix("\n")


@pytest.mark.parametrize(
    ("name", "diagnosis", "title"),
    [
        (
            "everything",
            diagnose(
                Errors(
                    train=0.10, dev=0.20, train_dev=0.13, test=0.26,
                    n_train=5_000, n_dev=500, n_train_dev=500, n_test=500, target_assumed=True,
                ),
                settings=SETTINGS,
            ),
            "runs/a trial 7",
        ),
        (
            "inconclusive",
            diagnose(Errors(train=0.02, dev=0.06, target=0.02, n_train=1_000, n_dev=40)),
            "",
        ),
        ("small_errors", diagnose(Errors(train=0.001, dev=0.005)), ""),
        (
            "regression",
            diagnose(Errors(train=0.45, dev=1.2, target=0.5, proportion=False)),
            "",
        ),
        ("diverged", trial_diagnoses()[1], "runs/a trial 1"),
    ],
)  # fmt: skip
def test_a_diagnosis_as_text(name: str, diagnosis: Diagnosis, title: str) -> None:
    text = render(render_diagnosis(diagnosis, title=title))
    assert text == golden(name)
    assert max(map(len, text.splitlines())) <= 80


def test_trials_as_text() -> None:
    text = render(render_trials(trial_diagnoses(), title="runs/a", best=0))
    assert text == golden("trials")
    without_best = render(render_trials(trial_diagnoses()[1:2], title="runs/a", best=None))
    assert without_best.splitlines()[0] == "runs/a: 1 inconclusive"
    assert "*" not in without_best


@pytest.mark.parametrize("width", [50, 80, 100, 200])
def test_text_keeps_to_its_width(width: int) -> None:
    text = render(render_diagnosis(diagnose(Errors(train=0.12, dev=0.2)), width=width), width=width)
    longest = max(map(len, text.splitlines()))
    assert longest <= min(width, 100)
    assert longest > min(width, 100) - 20


def test_color_adds_nothing_but_color() -> None:
    diagnosis = diagnose(Errors(train=0.12, dev=0.2, n_train=500, n_dev=200))
    text = render_diagnosis(diagnosis)
    colored = render(text, color=True)
    assert "\x1b[" in colored
    assert text.plain == render(text)


def test_an_interval_is_never_broken() -> None:
    diagnosis = diagnose(Errors(train=0.12, dev=0.2, n_train=500, n_dev=200))
    for width in range(40, 100):
        for line in render(render_diagnosis(diagnosis, width=width), width=width).splitlines():
            assert line.count("[") == line.count("]")
