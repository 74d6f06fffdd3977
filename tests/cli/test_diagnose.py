from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dltune.cli.main import main
from dltune.recipe.files import parse_recipe
from dltune.runs.about import DataFacts
from dltune.runs.folder import RunFolder
from dltune.training.history import TrialRecord, TrialState
from tests.search.made_up import about as about_run

GOLDEN = Path(__file__).parent.parent / "golden"
RECIPE = '[data]\nsource = "sklearn:digits"\n'
CONFIG = {"data.split.train-dev": 0.0, "model.hidden": [64, 64], "train.epochs": 10}
TRIALS = [
    TrialRecord(
        number=0, seed=0, state=TrialState.COMPLETE, objective=0.2, best_epoch=9, epochs=10,
        train_error=0.12, dev_error=0.2, examples={"train": 1000, "dev": 500},
        config=CONFIG | {"optim.lr": 0.001},
    ),
    TrialRecord(
        number=1, seed=0, state=TrialState.COMPLETE, objective=0.02, best_epoch=5, epochs=10,
        train_error=0.01, dev_error=0.02, test_error=0.02,
        examples={"train": 1000, "dev": 500, "test": 500}, config=CONFIG | {"optim.lr": 0.01},
    ),
    TrialRecord(
        number=2, seed=0, state=TrialState.DIVERGED, reason="non-finite loss", epochs=1,
        config=CONFIG | {"optim.lr": 1.0},
    ),
]  # fmt: skip

WORKED_EXAMPLES = [
    ("table_1", "--train-error 1% --dev-error 12% --target-error 0"),
    ("table_2", "--train-error 12% --dev-error 13% --target-error 0"),
    ("table_3", "--train-error 0.12 --dev-error 0.20 --target-error 0"),
    ("table_4", "--train-error 0.01 --dev-error 0.02 --target-error 0"),
    ("yearning_1", "--train-error 1% --dev-error 11% --target-error 0"),
    ("yearning_2", "--train-error 15% --dev-error 16% --target-error 0"),
    ("yearning_3", "--train-error 15% --dev-error 30% --target-error 0"),
    ("yearning_4", "--train-error 0.5% --dev-error 1% --target-error 0"),
    ("yearning_5", "--train-error 1% --train-dev-error 5% --dev-error 5% --target-error 0"),
    ("yearning_6", "--train-error 10% --train-dev-error 11% --dev-error 12% --target-error 0"),
    ("yearning_7", "--train-error 10% --train-dev-error 11% --dev-error 20% --target-error 0"),
    ("yearning_8", "--train-error 14.5% --dev-error 26% --target-error 14%"),
    ("course_1", "--train-error 8% --dev-error 10% --target-error 1%"),
    ("course_2", "--train-error 8% --dev-error 10% --target-error 7.5%"),
]


def run_of(
    path: Path, trials: Sequence[TrialRecord] = TRIALS, *, best: bool = True, **about: Any
) -> Path:
    """A run folder with these trials."""
    asked = about_run(len(trials), data=DataFacts(task="classification"), **about)
    folder = RunFolder.create(path, parse_recipe(RECIPE, folder=path), asked)
    folder.append(trials, {})
    folder.close()
    if not best:
        (path / "best.toml").unlink()
    return path


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    run_of(tmp_path / "runs" / "digits")
    return tmp_path / "runs"


def diagnose(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    code = main(["diagnose", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(("name", "arguments"), WORKED_EXAMPLES)
def test_worked_examples(name: str, arguments: str, capsys: Any) -> None:
    code, out, err = diagnose(capsys, *arguments.split())
    assert out == (GOLDEN / f"diagnose_{name}.txt").read_text(encoding="utf-8")
    assert code == (0 if out.startswith("fine at a tolerance of 2 points") else 1)
    assert err.startswith("next: dltune ")


def test_json_has_what_is_promised(capsys: Any) -> None:
    code, out, err = diagnose(
        capsys, "--train-error", "12 %", "--dev-error", "20%", "--n-train", "10000",
        "--n-dev", "1000", "--json",
    )  # fmt: skip
    document = json.loads(out)
    assert code == 1
    assert list(document) == [
        "run", "verdict", "headline", "arithmetic", "trial", "state", "tolerance", "confidence",
        "errors", "components", "findings", "notes", "skipped",
    ]  # fmt: skip
    assert document["verdict"] == "high bias and high variance"
    bias, variance = document["components"]
    assert (bias["name"], bias["size"], bias["high"]) == ("bias", 0.12, True)
    assert variance["interval"] == pytest.approx([0.0555, 0.1067], abs=5e-5)
    assert [finding["id"] for finding in document["findings"]] == ["BIAS001", "VAR001"]
    for finding in document["findings"]:
        assert {"id", "severity", "evidence", "edits"} <= set(finding)
        assert finding["edits"]
        for edit in finding["edits"]:
            assert {"key", "from", "to"} <= set(edit)
    assert document["errors"]["target_assumed"] is True
    assert err == "next: dltune train RECIPE --set KEY=VALUE  (try the first edit)\n"


@pytest.mark.parametrize(
    ("arguments", "code", "next_line"),
    [
        (
            ["--train-error", "1%", "--dev-error", "2%"],
            0,
            "next: dltune search RECIPE  (lower both errors further)",
        ),
        (
            ["--train-error", "12 %", "--dev-error", "0.2"],
            1,
            "next: dltune diagnose --train-error '12 %' --dev-error 0.2 --n-train N --n-dev N  "
            "(with intervals)",
        ),
        (  # the same question again: target and tolerance stay, what is known is not asked for
            [
                "--train-error",
                "5%",
                "--dev-error",
                "20%",
                "--n-train",
                "100",
                "--target-error",
                "1%",
                "--tolerance",
                "3%",
            ],
            1,
            "next: dltune diagnose --train-error 5% --dev-error 20% --n-train 100 "
            "--target-error 0.01 --tolerance 0.03 --n-dev N  (with intervals)",
        ),
        (
            ["--train-error", "1%", "--dev-error", "5%", "--n-train", "1000", "--n-dev", "20"],
            1,
            "next: dltune diagnose --train-error E --dev-error E  (again, after the advice)",
        ),
        (
            ["--train-error", "0.6", "--dev-error", "1.3", "--regression"],
            1,
            "next: dltune train RECIPE --set KEY=VALUE  (try the first edit)",
        ),
    ],
)
def test_the_next_command_for_numbers(
    arguments: list[str], code: int, next_line: str, capsys: Any
) -> None:
    exit_code, _, err = diagnose(capsys, *arguments)
    assert (exit_code, err.rstrip("\n")) == (code, next_line)


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        ([], "fine"),
        (["--tolerance", "0.5%"], "high bias and high variance"),
        (["--n-dev", "50", "--n-train", "50"], "fine"),
    ],
)
def test_the_rule_can_be_changed(arguments: list[str], verdict: str, capsys: Any) -> None:
    _, out, _ = diagnose(capsys, "--train-error", "1%", "--dev-error", "2%", *arguments, "--json")
    assert json.loads(out)["verdict"] == verdict


def test_confidence_decides_what_is_chance(capsys: Any) -> None:
    numbers = ["--train-error", "2%", "--dev-error", "6%", "--target-error", "2%",
               "--n-train", "1000", "--n-dev", "50", "--json"]  # fmt: skip
    _, at_95, _ = diagnose(capsys, *numbers)
    _, at_80, _ = diagnose(capsys, *numbers, "--confidence", "80%")
    assert json.loads(at_95)["verdict"] == "inconclusive"
    assert json.loads(at_80)["verdict"] == "high variance"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            [],
            "error: there is nothing to diagnose: a RUN, or --train-error and --dev-error, is "
            "needed\n"
            "Type dltune diagnose runs/NAME, or dltune diagnose --train-error 12% --dev-error 20%.",
        ),
        (
            ["--train-error", "1%"],
            "error: --dev-error is missing: bias and variance take the train and the dev error\n"
            "Type dltune diagnose --train-error 12% --dev-error 20%.",
        ),
        (
            ["--dev-error", "1%", "--n-dev", "5"],
            "error: --train-error is missing: bias and variance take the train and the dev error\n"
            "Type dltune diagnose --train-error 12% --dev-error 20%.",
        ),
        (
            ["digits", "--train-error", "1%", "--n-dev", "5"],
            "error: RUN digits and --train-error, --n-dev: a run has its own errors and sizes\n"
            "Type dltune diagnose digits, or the numbers without a RUN.",
        ),
        (
            ["digits", "--regression"],
            "error: RUN digits and --regression: a run has its own errors and sizes\n"
            "Type dltune diagnose digits, or the numbers without a RUN.",
        ),
        (
            ["--train-error", "1%", "--dev-error", "2%", "--trial", "3"],
            "error: --trial 3 needs a RUN to look in\nType dltune diagnose runs/NAME --trial 3.",
        ),
        (
            ["--all"],
            "error: --all needs a RUN to look in\nType dltune diagnose runs/NAME --all.",
        ),
        (
            ["digits", "--all", "--trial", "1"],
            "error: --all and --trial 1 exclude each other\n"
            "Type dltune diagnose digits --all, or dltune diagnose digits --trial 1.",
        ),
        (
            ["--train-error", "1", "--dev-error", "12"],
            "error: dev error is 12: an error is a share, from 0 to 1\n"
            "Did you mean 12%? Type --dev-error 12%.",
        ),
        (
            ["--train-error", "x", "--dev-error", "12%"],
            "error: --train-error is 'x': a number or a percentage is needed\n"
            "Type --train-error 0.12 or --train-error 12%.",
        ),
        (
            ["--train-error", "1%", "--dev-error", "2%", "--tolerance", "2"],
            "error: --tolerance is 2: it is a share, at least 0 and below 1\nDid you mean 2%?",
        ),
        (
            ["--train-error", "1%", "--dev-error", "2%", "--n-dev", "0"],
            "error: --n-dev is 0: an error is counted on at least 1 example\n"
            "Type the number of examples, or leave --n-dev out if it is unknown.",
        ),
        (
            ["digitz"],
            "error: there is no run digitz, neither as a folder nor in runs\n"
            "Did you mean digits? Runs in runs: digits.",
        ),
        (
            ["digits", "--trial", "8"],
            "error: runs/digits has no trial 8: its 3 trials are numbered 0 to 2\n"
            "Type --trial 2, or --all.",
        ),
    ],
)
def test_mistakes(arguments: list[str], text: str, runs: Path, capsys: Any) -> None:
    code, out, err = diagnose(capsys, *arguments)
    assert (code, out, err) == (2, "", text + "\n")


def test_the_best_trial_of_a_run(runs: Path, capsys: Any) -> None:
    code, out, err = diagnose(capsys, "digits")
    assert code == 0
    assert out.startswith("runs/digits trial 1 (best): fine at a tolerance of 2 points\n")
    assert err == "next: dltune report runs/digits  (all trials side by side)\n"


def test_another_trial_of_a_run(runs: Path, capsys: Any) -> None:
    code, out, err = diagnose(capsys, "runs/digits", "--trial", "0", "--json")
    document = json.loads(out)
    assert code == 1
    assert (document["run"], document["trial"]) == ("runs/digits", 0)
    assert document["verdict"] == "high bias and high variance"
    edits = {edit["key"]: edit for each in document["findings"] for edit in each["edits"]}
    assert (edits["train.epochs"]["from"], edits["train.epochs"]["to"]) == (10, 20)
    assert (edits["model.hidden"]["from"], edits["model.hidden"]["to"]) == ([64, 64], [128, 128])
    assert err == (
        "next: dltune train RECIPE --set train.epochs=20  "
        "(the first edit, with the settings of trial 0)\n"
    )


@pytest.mark.parametrize(
    ("best", "recipe", "purpose"),
    [
        (True, "runs/one/best.toml", "the first edit"),
        (False, "RECIPE", "the first edit, with the settings of trial 0"),
    ],
)
def test_the_first_edit_of_the_best_trial_is_the_next_command(
    best: bool, recipe: str, purpose: str, runs: Path, capsys: Any
) -> None:
    run_of(runs / "one", [dataclasses.replace(TRIALS[0], best_epoch=5)], best=best)
    code, _, err = diagnose(capsys, "one")
    assert code == 1
    assert err == f"next: dltune train {recipe} --set 'model.hidden=[128, 128]'  ({purpose})\n"


def test_the_target_of_a_run_can_be_given(runs: Path, capsys: Any) -> None:
    _, out, _ = diagnose(capsys, "digits", "--trial", "0", "--target-error", "12%", "--json")
    assert json.loads(out)["verdict"] == "high variance"


def test_a_diverged_trial(runs: Path, capsys: Any) -> None:
    code, out, err = diagnose(capsys, "digits", "--trial", "2")
    assert code == 1
    assert out.replace("\n", " ").startswith(
        "runs/digits trial 2: inconclusive: trial 2 diverged after 1 epoch: non-finite loss "
    )
    assert "--set optim.lr=0.1 " in err


def test_every_trial(runs: Path, capsys: Any) -> None:
    code, out, err = diagnose(capsys, "digits", "--all")
    assert code == 1
    assert out == (GOLDEN / "diagnose_all.txt").read_text(encoding="utf-8")
    assert err == "next: dltune diagnose runs/digits --trial 1  (the findings of one trial)\n"


def test_every_trial_as_json(runs: Path, capsys: Any) -> None:
    _, out, _ = diagnose(capsys, "digits", "--all", "--json")
    document = json.loads(out)
    assert document["best"] == 1
    assert document["counts"] == {
        "high bias and high variance": 1, "fine": 1, "inconclusive": 1,
    }  # fmt: skip
    assert [each["trial"] for each in document["trials"]] == [0, 1, 2]
    assert document["trials"][2]["errors"] is None


def test_all_is_fine_only_if_every_trial_is(runs: Path, capsys: Any) -> None:
    run_of(runs / "good", [TRIALS[1]])
    code, _, _ = diagnose(capsys, "good", "--all")
    assert code == 0
    run_of(runs / "bad", [TRIALS[2]])
    code, _, err = diagnose(capsys, "bad", "--all")
    assert code == 1
    assert err == "next: dltune diagnose runs/bad --trial 2  (the findings of one trial)\n"


def test_another_folder_of_runs(runs: Path, capsys: Any) -> None:
    run_of(runs.parent / "elsewhere" / "mine")
    code, out, _ = diagnose(capsys, "mine", "--runs-dir", "elsewhere")
    assert code == 0
    assert out.startswith("elsewhere/mine trial 1 (best): fine")


@pytest.mark.parametrize(
    "arguments", [["--train-error", "12%", "--dev-error", "20%"], ["runs/digits"]]
)
def test_nothing_heavy_is_imported(arguments: list[str], runs: Path) -> None:
    program = (
        "import sys\n"
        "from dltune.cli.main import main\n"
        f"main({['diagnose', *arguments]!r})\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1].split()
    tops = {name.split(".")[0] for name in loaded}
    assert "dltune.report.diagnosis" in loaded
    assert tops & {"torch", "pandas", "optuna", "scipy", "numpy", "sklearn", "matplotlib"} == set()
    # Recent typer reads its own options with pydantic; the recipe's models would cost more.
    ours = {name for name in loaded if name.startswith(("dltune.recipe.", "dltune.search"))}
    # Signals are answered from the first moment on, with nothing but Python's own library.
    signals = {"dltune.search", "dltune.search.interrupts"}
    assert ours <= {"dltune.recipe.whole_file", *signals}


def test_help_says_what_it_takes(capsys: Any) -> None:
    code, out, _ = diagnose(capsys, "--help")
    assert code == 0
    assert "Example: dltune diagnose --train-error 12% --dev-error 20%" in out
    for default in ("[default: 2%]", "[default: 95%]", "[default: runs]", "(the best one)"):
        assert default in out
