"""`dltune diagnose`: what part of the error is bias, what part variance, and what to change."""

from __future__ import annotations

import dataclasses
import functools
import json
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dltune.cli import options, output
from dltune.diagnosis.wording import parse_share
from dltune.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from dltune.diagnosis.components import Errors
    from dltune.diagnosis.finding import Diagnosis, Edit
    from dltune.runs.run import Run

EXAMPLE = "dltune diagnose --train-error 12% --dev-error 20%"
BEST_FILE = "best.toml"  # of a run folder: the settings of its best trial


def _error_option(name: str, text: str) -> object:
    return typer.Option(name, metavar="SHARE", show_default=False, help=text)


def _size_option(name: str, split: str) -> object:
    text = f"Examples behind the {split} error; with them come intervals."
    return typer.Option(name, metavar="N", show_default=False, help=text)


def diagnose(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            show_default=False,
            help="A run folder, or the name of one in --runs-dir.",
        ),
    ] = None,
    trial: Annotated[
        int | None,
        typer.Option(metavar="N", show_default="the best one", help="The trial to diagnose."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Diagnose every trial, a row each.")] = False,
    train_error: Annotated[str | None, _error_option("--train-error", "As 0.12 or 12%.")] = None,
    dev_error: Annotated[str | None, _error_option("--dev-error", "As 0.2 or 20%.")] = None,
    target_error: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            show_default="the recipe's, or 0",
            help="The human-level or best known error.",
        ),
    ] = None,
    train_dev_error: Annotated[
        str | None,
        _error_option("--train-dev-error", "On held-out examples of the training data."),
    ] = None,
    test_error: Annotated[
        str | None, _error_option("--test-error", "On examples that chose nothing.")
    ] = None,
    n_train: Annotated[int | None, _size_option("--n-train", "train")] = None,
    n_dev: Annotated[int | None, _size_option("--n-dev", "dev")] = None,
    n_train_dev: Annotated[int | None, _size_option("--n-train-dev", "train-dev")] = None,
    n_test: Annotated[int | None, _size_option("--n-test", "test")] = None,
    tolerance: Annotated[
        str, typer.Option(metavar="SHARE", help="A bias or a gap above this matters.")
    ] = "2%",
    confidence: Annotated[
        str, typer.Option(metavar="SHARE", help="Confidence of the intervals.")
    ] = "95%",
    regression: Annotated[
        bool,
        typer.Option("--regression", help="The errors typed are 1 - R^2, which has no interval."),
    ] = False,
    runs_dir: options.RunsDir = Path("runs"),
    as_json: options.Json = False,
) -> int:
    """Say from the errors whether the model suffers from bias or from variance, and what to change.

    Example: dltune diagnose --train-error 12% --dev-error 20% --n-train 10000 --n-dev 1000
    """
    request = _Request(
        tolerance=parse_share("--tolerance", tolerance),
        confidence=parse_share("--confidence", confidence),
        target=None if target_error is None else parse_share("--target-error", target_error),
        as_json=as_json,
    )
    typed = {
        "--train-error": train_error,
        "--dev-error": dev_error,
        "--train-dev-error": train_dev_error,
        "--test-error": test_error,
        "--n-train": n_train,
        "--n-dev": n_dev,
        "--n-train-dev": n_train_dev,
        "--n-test": n_test,
        "--regression": regression or None,
    }
    numbers = {option: value for option, value in typed.items() if value is not None}
    if run is None:
        _refuse_run_options(trial, every)
        clean = _diagnose_numbers(numbers, request)
    else:
        _refuse_numbers(run, numbers)
        clean = _diagnose_run(run, runs_dir, trial, every, request)
    return output.FINE if clean else output.FINDINGS


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Request:
    """What holds for numbers and runs alike; a target of None is the recipe's, or 0."""

    tolerance: float
    confidence: float
    target: float | None
    as_json: bool


def _refuse_run_options(trial: int | None, every: bool) -> None:
    if trial is not None or every:
        option = f"--trial {trial}" if trial is not None else "--all"
        raise UsageError(
            f"{option} needs a RUN to look in", hint=f"Type dltune diagnose runs/NAME {option}."
        )


def _refuse_numbers(run: str, numbers: Mapping[str, object]) -> None:
    if numbers:
        raise UsageError(
            f"RUN {run} and {', '.join(numbers)}: a run has its own errors and sizes",
            hint=f"Type dltune diagnose {run}, or the numbers without a RUN.",
        )


def _diagnose_numbers(numbers: Mapping[str, Any], request: _Request) -> bool:
    from dltune.diagnosis.verdict import diagnose as diagnose_errors

    errors = _errors_from(numbers, request.target)
    diagnosis = diagnose_errors(errors, tolerance=request.tolerance, confidence=request.confidence)
    _write(diagnosis, request, title="", run=None)
    if diagnosis.clean:
        output.say_next("dltune search RECIPE", "lower both errors further")
    elif errors.proportion and errors.n_dev is None:
        output.say_next(f"dltune diagnose {_with_sizes(numbers, request)}", "with intervals")
    elif any(finding.edits for finding in diagnosis.findings):
        output.say_next("dltune train RECIPE --set KEY=VALUE", "try the first edit")
    else:
        output.say_next("dltune diagnose --train-error E --dev-error E", "again, after the advice")
    return diagnosis.clean


def _with_sizes(numbers: Mapping[str, Any], request: _Request) -> str:
    """What was typed, with a place for the sizes that are missing."""
    from dltune.diagnosis.components import CONFIDENCE, TOLERANCE

    rule = {
        "--target-error": request.target,
        "--tolerance": None if request.tolerance == TOLERANCE else request.tolerance,
        "--confidence": None if request.confidence == CONFIDENCE else request.confidence,
    }
    typed = dict(numbers) | {option: value for option, value in rule.items() if value is not None}
    sizes = {option: "N" for option in ("--n-train", "--n-dev") if option not in typed}
    return " ".join(
        f"{option} {shlex.quote(str(value))}" for option, value in (typed | sizes).items()
    )


def _errors_from(numbers: Mapping[str, Any], target: float | None) -> Errors:
    from dltune.diagnosis.components import Errors

    missing = [option for option in ("--train-error", "--dev-error") if option not in numbers]
    if len(missing) == 2:
        raise UsageError(
            "there is nothing to diagnose: a RUN, or --train-error and --dev-error, is needed",
            hint=f"Type dltune diagnose runs/NAME, or {EXAMPLE}.",
        )
    if missing:
        raise UsageError(
            f"{missing[0]} is missing: bias and variance take the train and the dev error",
            hint=f"Type {EXAMPLE}.",
        )

    def share(option: str) -> float | None:
        text = numbers.get(option)
        return None if text is None else parse_share(option, text)

    return Errors(
        train=parse_share("--train-error", numbers["--train-error"]),
        dev=parse_share("--dev-error", numbers["--dev-error"]),
        target=target or 0.0,
        train_dev=share("--train-dev-error"),
        test=share("--test-error"),
        n_train=numbers.get("--n-train"),
        n_dev=numbers.get("--n-dev"),
        n_train_dev=numbers.get("--n-train-dev"),
        n_test=numbers.get("--n-test"),
        proportion="--regression" not in numbers,
        target_assumed=target is None,
    )


def _diagnose_run(
    name: str, runs_dir: Path, number: int | None, every: bool, request: _Request
) -> bool:
    from dltune.diagnosis.trial import diagnose_trial, trials_to_diagnose
    from dltune.runs.run import find_run, load_run

    if every and number is not None:
        raise UsageError(
            f"--all and --trial {number} exclude each other",
            hint=f"Type dltune diagnose {name} --all, or dltune diagnose {name} --trial {number}.",
        )
    run = load_run(find_run(name, runs_dir=runs_dir), histories="none")
    trials = trials_to_diagnose(run, number, every=every)
    found = [
        diagnose_trial(
            trial,
            run,
            target=request.target,
            tolerance=request.tolerance,
            confidence=request.confidence,
        )
        for trial in trials
    ]
    best = None if run.best is None else run.best.number
    if every:
        _write_every(found, run, best, request)
    else:
        mark = " (best)" if trials[0].number == best else ""
        _write(found[0], request, title=f"{run.path} trial {trials[0].number}{mark}", run=run)
        _say_next_for_trial(run, found[0], is_best=trials[0].number == best)
    return all(diagnosis.clean for diagnosis in found)


def _write_every(found: Sequence[Diagnosis], run: Run, best: int | None, request: _Request) -> None:
    if request.as_json:
        document = {
            "run": str(run.path),
            "best": best,
            "counts": dict(Counter(diagnosis.verdict.value for diagnosis in found)),
            "trials": [diagnosis.to_json() for diagnosis in found],
        }
        output.write_json(document)
    else:
        from dltune.report.diagnosis import render_trials

        _draw(functools.partial(render_trials, found, title=str(run.path), best=best))
    shown = found[0].trial if best is None else best
    command = f"dltune diagnose {shlex.quote(str(run.path))} --trial {shown}"
    output.say_next(command, "the findings of one trial")


def _write(diagnosis: Diagnosis, request: _Request, *, title: str, run: Run | None) -> None:
    if request.as_json:
        output.write_json({"run": None if run is None else str(run.path)} | diagnosis.to_json())
        return
    from dltune.report.diagnosis import render_diagnosis

    _draw(functools.partial(render_diagnosis, diagnosis, title=title))


def _draw(at_width: Callable[..., Text]) -> None:
    """Write a text that is wrapped at the width of the terminal, if stdout is one."""
    from dltune.report.terminal import render, wants_color, width_of

    width = width_of(sys.stdout)
    text = render(at_width(width=width), width=width, color=wants_color(sys.stdout))
    output.write_result(text)


def _say_next_for_trial(run: Run, diagnosis: Diagnosis, *, is_best: bool) -> None:
    every = [edit for finding in diagnosis.findings for edit in finding.edits]
    edits = [edit for edit in every if not isinstance(edit.after, dict)]  # a range is not trained
    if not edits:
        command = f"dltune report {shlex.quote(str(run.path))}"
        output.say_next(command, "all trials side by side")
        return
    recipe, purpose = "RECIPE", f"the first edit, with the settings of trial {diagnosis.trial}"
    if is_best and (run.path / BEST_FILE).is_file():
        recipe, purpose = shlex.quote(str(run.path / BEST_FILE)), "the first edit"
    output.say_next(f"dltune train {recipe} --set {_assignment(edits[0])}", purpose)


def _assignment(edit: Edit) -> str:
    """An edit as `--set` takes it, quoted for a shell."""
    value = edit.after if isinstance(edit.after, str) else json.dumps(edit.after)
    return shlex.quote(f"{edit.key}={value}")
