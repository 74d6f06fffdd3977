"""What ending trials early costs and saves: the same searches with every rule and with none.

    python benchmarks/pruning.py --json pruning.json          # half an hour
    python benchmarks/pruning.py --tasks wine --seeds 2       # a look

Each search runs whole, as a process, without pruning and with halving, in turn. What other rules
and options would have done follows from the curves of the whole one: a pause changes no number of a
training, and a rule sees nothing but curves. Halving's own run is compared with that.

loss     dev error of the best trial, less that of the search that prunes nobody; the mean over the
         seeds, with its standard error.
noise    the standard error of that best dev error itself, from the size of dev and from seed to
         seed (the standard deviation of the whole search's best over the seeds).
epochs   that were trained, as a share.
time     wall time of the whole process, as a share; the median over the seeds.
kept     share of the seeds in which the best trial of all, or one as good, trained to its end.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from timing import machine, timed, versions

from dltune.data.load import load_data
from dltune.recipe.files import parse_recipe
from dltune.runs.run import load_run
from dltune.search.block import with_seed
from dltune.search.executors.protocol import TrialPaused
from dltune.search.pruning.registry import build_pruner
from dltune.search.rungs import Rungs
from dltune.training.history import Trial, TrialRecord, TrialState, best_trials

HOUSING = Path(__file__).parents[1] / "recipes" / "data" / "housing.csv"
COMMON = '[train]\nepochs = 27\nbatch_size = 32\ndevice = "cpu"\n'
RATES = "lr = { log = [1e-4, 1e-1] }\nweight_decay = { log = [1e-6, 1e-1] }\n"
TASKS = {
    "breast-cancer": f"""\
[data]
source = "sklearn:breast_cancer"
split.dev = 0.4
[model]
hidden = {{ choice = [[16], [64, 64]] }}
dropout = {{ uniform = [0.0, 0.5] }}
[optim]
name = "adamw"
{RATES}{COMMON}""",
    "wine": f"""\
[data]
source = "sklearn:wine"
split.dev = 0.4
[model]
hidden = [32]
dropout = {{ uniform = [0.0, 0.5] }}
[optim]
name = "momentum"
lr = {{ log = [1e-4, 1.0] }}
momentum = {{ uniform = [0.5, 0.99] }}
{COMMON}""",
    "diabetes": f"""\
[data]
source = "sklearn:diabetes"
[model]
hidden = {{ choice = [[16], [64, 64]] }}
dropout = {{ uniform = [0.0, 0.5] }}
[optim]
name = "adamw"
{RATES}{COMMON}""",
    "housing": f"""\
[data]
source = "{HOUSING}"
target = "price"
normalize = "zscore"
[model]
hidden = [32, 32]
[optim]
name = "adamw"
{RATES}[schedule]
name = "one-cycle"
{COMMON}""",
    "digits": f"""\
[data]
source = "sklearn:digits"
[model]
hidden = [32, 32]
dropout = {{ uniform = [0.0, 0.5] }}
[optim]
name = "adam"
{RATES}{COMMON}""",
    # Early ranks mislead: a long warmup and strong dropout begin behind and may end ahead.
    "late-starters": f"""\
[data]
source = "sklearn:digits"
split.dev = 0.4
split.test = 0.4
[model]
hidden = [64, 64]
dropout = {{ uniform = [0.0, 0.8] }}
[optim]
name = "adam"
{RATES}[[schedule.choice]]
name = "constant"
[[schedule.choice]]
name = "cosine"
warmup = {{ uniform = [0.0, 0.6] }}
[[schedule.choice]]
name = "one-cycle"
{COMMON}""",
    "spirals": f"""\
[data]
source = "{Path(__file__).parent}/lr_find/data.py:spirals"
[model]
hidden = [32, 32]
activation = {{ choice = ["relu", "tanh"] }}
[optim]
name = "adam"
{RATES}{COMMON}""",
}
RULES: dict[str, tuple[str, dict[str, int]]] = {
    "halving": ("halving", {}),
    "hyperband": ("hyperband", {}),
    "median": ("median", {}),
    "bad-start": ("bad-start", {}),
    "halving, from epoch 1": ("halving", {"first_rung": 1}),
    "halving, by 2 from 3": ("halving", {"first_rung": 3, "reduction": 2}),
    "halving, by 4": ("halving", {"reduction": 4}),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a rule came to in one search, beside no rule."""

    best: float
    loss: float
    epochs: float
    kept: bool


def pruned(
    name: str, options: Mapping[str, Any], recipe: Any, records: Sequence[TrialRecord], data: Any
) -> list[TrialRecord]:
    """The records of a search as a rule would have left them.

    records  of the search that pruned nobody, with their histories.
    """
    pruner = build_pruner(name, options)
    assert pruner is not None
    pruner.learn(data)
    trials = [
        Trial(
            number=one.number,
            config=with_seed(recipe.config(one.values), one.seed),
            seed=one.seed,
            values=one.values,
        )
        for one in records
    ]
    whole, over = {one.number: one for one in records}, dict[int, TrialRecord]()
    longest = max(one.config.train.epochs for one in trials)
    rungs = Rungs(pruner, trials, over={}, kept={}, epochs=longest)
    while (stretch := rungs.next()) is not None:
        for trial in stretch[0]:
            record = whole[trial.number]
            until = stretch[1].until.get(trial.number, math.inf)
            # One that ends in the epoch of a rung, or before, does not come to it.
            if until < len(record.history):
                epochs = int(until)
                history = record.history[:epochs]
                cut = dataclasses.replace(
                    record, state=TrialState.PRUNED, epochs=epochs, history=history
                )
                rungs.pause(TrialPaused(record=cut, kept=""))
            else:
                rungs.end(record)
                over[record.number] = record
        over |= {record.number: record for record in rungs.judge()}
    return [over[number] for number in sorted(over)]


def outcome(records: Sequence[TrialRecord], whole: Sequence[TrialRecord]) -> Outcome:
    """A search with pruning beside the same without."""
    best, first = best_trials(records, 1)[0], best_trials(whole, 1)[0]
    assert best.dev_error is not None
    assert first.dev_error is not None
    return Outcome(
        best=best.dev_error,
        loss=best.dev_error - first.dev_error,
        epochs=sum(one.epochs for one in records) / sum(one.epochs for one in whole),
        kept=best.ranked == first.ranked,
    )


def search(folder: Path, recipe: Path, seed: int, trials: int, prune: str) -> tuple[float, Path]:
    """A whole process; its seconds, and its run folder."""
    name = f"{recipe.stem}-{seed}-{prune}"
    words = ["--trials", str(trials), "--seed", str(seed), "--prune", prune, "--name", name]
    command = [sys.executable, "-m", "dltune", "search", str(recipe), *words]
    seconds, *_ = timed([*command, "--runs-dir", str(folder)], fine=(0, 1))
    return seconds, folder / name


def measure(task: str, seeds: int, trials: int, sizes: Sequence[int]) -> dict[str, Any]:
    """Every rule on one task."""
    found: dict[str, list[Outcome]] = {name: [] for name in RULES}
    few: dict[int, list[float]] = {size: [] for size in sizes}
    times, best = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = folder / f"{task}.toml"
        file.write_text(TASKS[task], encoding="utf-8")
        recipe = parse_recipe(TASKS[task], folder=folder)
        config = recipe.config(next(iter(_first_point(recipe))))
        data = load_data(config.data, folder=folder)
        for seed in range(seeds):
            seconds, runs = {}, {}
            for prune in ("none", "halving") if seed % 2 else ("halving", "none"):
                seconds[prune], path = search(folder, file, seed, trials, prune)
                runs[prune] = load_run(path).trials
            times.append(seconds["halving"] / seconds["none"])
            whole = runs["none"]
            best.append(best_trials(whole, 1)[0].dev_error)
            for name, (rule, options) in RULES.items():
                left = pruned(rule, options, recipe, whole, data)
                found[name].append(outcome(left, whole))
                if name == "halving":
                    states = [(one.number, one.state, one.epochs) for one in left]
                    real = [(one.number, one.state, one.epochs) for one in runs["halving"]]
                    assert states == real, "halving did not do what its curves say"
            for size in sizes:
                left = pruned("halving", {}, recipe, whole[:size], data)
                few[size].append(outcome(left, whole[:size]).loss)
    return {
        "task": task,
        "best": statistics.mean(best),
        "noise": noise(best, data),
        "time": statistics.median(times),
        "rules": {name: summary(outcomes) for name, outcomes in found.items()},
        "halving by trials": {size: mean_and_error(losses) for size, losses in few.items()},
    }


def _first_point(recipe: Any) -> Any:
    from dltune.recipe.validation import probes

    yield next(iter(probes(recipe.space)))


def noise(best: Sequence[float], data: Any) -> float:
    """Of a best dev error, as far as it is the dev split's: the larger of the two estimates."""
    mean = statistics.mean(best)
    counted = math.sqrt(max(mean, 0.0) * max(0.0, 1 - mean) / len(data.dev))
    seeds = statistics.stdev(best) if len(best) > 1 else 0.0
    return max(counted, seeds)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    loss, error = mean_and_error([one.loss for one in outcomes])
    return {
        "loss": loss,
        "error": error,
        "epochs": statistics.mean(one.epochs for one in outcomes),
        "kept": statistics.mean(one.kept for one in outcomes),
    }


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return statistics.mean(values), error


def show(row: Mapping[str, Any]) -> None:
    print(f"\n{row['task']}: best dev error {row['best']:.4f}, noise {row['noise']:.4f}, ", end="")
    print(f"halving's time {row['time']:.2f}")
    print(f"  {'rule':24} {'loss':>8} {'+-':>7} {'epochs':>7} {'kept':>5}")
    for name, one in row["rules"].items():
        figures = f"{one['loss']:8.4f} {one['error']:7.4f} {one['epochs']:6.0%} {one['kept']:5.0%}"
        print(f"  {name:24} {figures}")
    few = row["halving by trials"].items()
    print("  halving by trials: ", ", ".join(f"{n}: {m:.4f} +- {e:.4f}" for n, (m, e) in few))
    sys.stdout.flush()


def main() -> None:
    """Run every task."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=256)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{machine()}; {versions('dltune', 'torch')}")
    print(f"{options.trials} trials, {options.seeds} seeds")
    sizes = [size for size in (16, 32, 64, 128) if size < options.trials]
    rows = []
    for task in options.tasks.split(","):
        rows.append(measure(task, options.seeds, options.trials, sizes))
        show(rows[-1])
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
