"""`dltune search` against what users would write, whole processes, in trials a minute.

    python benchmarks/search_against_peers.py
    python benchmarks/search_against_peers.py --peers a --models mlp-32 --trials 1024
    python benchmarks/search_against_peers.py --trials 8 --rounds 1 --scale d=4     # for a look

The first line is the whole comparison, more than an hour on two cores; the second what a long
search makes of it. Tasks and models stand in `tasks.py`, each peer in its own file in `peers/`.

All sides are run in turn, in rounds with different seeds, so that what else the machine does falls
on all; a ratio is of one round, and the median of the rounds is what counts. Time runs from the
start of a process to its exit. A peer of `--scale` trains fewer trials: the time from the end of
its first trial, in which libraries still import, to the end of its last is scaled up. The errors
are a check that all sides train alike: over as many trials of dltune's as the peer has trained.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import shlex
import statistics
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks import TASKS, Task, tasks_named
from timing import add_json_option, last_line, note, report, timed

PEERS_FOLDER = Path(__file__).resolve().parent / "peers"
PACKAGES = ("dltune", "torch", "numpy", "optuna", "ray", "lightning")
DLTUNE = "dltune"
FEWEST_SCALED = 4  # two processes warm up with one each


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peer:
    """A script in `peers/`, and the packages it needs beyond dltune's own."""

    title: str
    script: str
    needs: str | None = None


PEERS = {
    "a": Peer(title="Optuna + DataLoader", script="optuna_dataloader.py"),
    "b": Peer(title="Optuna, 2 processes, by hand", script="optuna_processes.py"),
    "c": Peer(title="Ray Tune, 2 at a time", script="ray_tune.py", needs="ray"),
    "d": Peer(title="Lightning + Optuna", script="lightning_optuna.py", needs="lightning"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """One process.

    side        a letter of PEERS, or DLTUNE.
    trials      it has trained.
    seconds     from start to exit, for as many trials as were asked for.
    dev_errors  of every trial's best epoch, in order; 1 for a trial that failed.
    """

    side: str
    model: str
    seed: int
    trials: int
    seconds: float
    dev_errors: list[float]

    def per_minute(self, trials: int) -> float:
        """Trials a minute; `trials` as were asked for."""
        return trials / self.seconds * 60


def run_peer(letter: str, task: Task, *, trials: int, asked: int, seed: int) -> Measured:
    """Run a peer with `trials` trials, scaled to those that were `asked` for."""
    command = [sys.executable, str(PEERS_FOLDER / PEERS[letter].script), "--model", task.name]
    command += ["--trials", str(trials), "--seed", str(seed)]
    seconds, printed, complaints = timed(command)
    outcome = last_line(printed)
    check_trained(len(outcome["dev_errors"]), trials, complaints)
    if trials < asked:
        # What starting takes counts once, however many trials there are.
        warm, training = outcome["warm"], outcome["done"] - outcome["ready"]
        seconds += training * ((asked - warm) / (trials - warm) - 1)
    return Measured(
        side=letter,
        model=task.name,
        seed=seed,
        trials=trials,
        seconds=seconds,
        dev_errors=[1.0 if error is None else error for error in outcome["dev_errors"]],
    )


def run_dltune(task: Task, *, trials: int, seed: int, folder: Path, more: list[str]) -> Measured:
    """Run the task's recipe in a new run folder."""
    name = f"{task.name}-{seed}"
    command = [sys.executable, "-m", "dltune", "search", str(task.write_recipe(folder))]
    command += ["--strategy", "random", "--trials", str(trials), "--seed", str(seed), "--json"]
    command += ["--prune", "none"]  # as the peers train
    command += ["--runs-dir", str(folder), "--name", name, *more]
    seconds, _, complaints = timed(
        command, fine=(0, 1)
    )  # 1: a trial diverged; it counts like others
    table = folder / name / "trials.csv"
    text = table.read_text(encoding="utf-8") if table.exists() else ""
    dev_errors = [float(row["dev_error"] or 1.0) for row in csv.DictReader(text.splitlines())]
    check_trained(len(dev_errors), trials, complaints)
    return Measured(
        side=DLTUNE,
        model=task.name,
        seed=seed,
        trials=trials,
        seconds=seconds,
        dev_errors=dev_errors,
    )


def check_trained(found: int, trials: int, complaints: str) -> None:
    """End the benchmark with what a process complained of unless it has trained all its trials."""
    if found != trials:
        sys.exit(f"{found} of {trials} trials were trained:\n{complaints}")


def rows_of(runs: list[Measured], asked: int) -> list[dict[str, Any]]:
    """A row for every model and peer: medians over the rounds, and the errors of both sides."""
    found: dict[tuple[str, str], list[Measured]] = {}
    for run in runs:
        found.setdefault((run.model, run.side), []).append(run)
    rows = []
    for (model, side), peers in found.items():
        if side == DLTUNE:
            continue
        ours = found[model, DLTUNE]
        ratios = [
            mine.per_minute(asked) / peer.per_minute(asked)
            for mine, peer in zip(ours, peers, strict=True)
        ]
        trials = peers[0].trials
        rows.append(
            {
                "model": TASKS[model].title,
                "peer": f"({side}) {PEERS[side].title}",
                "peer, trials/min": _median_rate(peers, asked),
                "dltune, trials/min": _median_rate(ours, asked),
                "ratio": statistics.median(ratios),
                "of rounds": f"{min(ratios):.2f} to {max(ratios):.2f}",
                "trials compared": trials,
                "best dev error, peer": _best(peers, trials),
                "best dev error, dltune": _best(ours, trials),
                "median dev error, peer": _typical(peers, trials),
                "median dev error, dltune": _typical(ours, trials),
            }
        )
    return rows


def _median_rate(runs: list[Measured], asked: int) -> float:
    return statistics.median(run.per_minute(asked) for run in runs)


def _best(runs: list[Measured], trials: int) -> float:
    return statistics.mean(min(run.dev_errors[:trials]) for run in runs)


def _typical(runs: list[Measured], trials: int) -> float:
    return statistics.mean(statistics.median(run.dev_errors[:trials]) for run in runs)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--peers",
        default=",".join(PEERS),
        metavar="LETTERS",
        help="; ".join(f"{letter}: {peer.title}" for letter, peer in PEERS.items()),
    )
    parser.add_argument(
        "--models", default=",".join(TASKS), metavar="NAMES", help="default: %(default)s"
    )
    parser.add_argument("--trials", type=int, default=256, metavar="N", help="default: 256")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--scale",
        default="c=32,d=32",
        metavar="LETTER=TRIALS",
        help='peers that train no more than so many trials, scaled up: "d=32", or "" for '
        "none; fair where a trial always takes the same time (default: %(default)s)",
    )
    parser.add_argument(
        "--dltune", default="", metavar="OPTIONS", help='for dltune search: "--workers 2"'
    )
    add_json_option(parser)
    return check(parser, parser.parse_args())


def check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> argparse.Namespace:
    """The options with lists taken apart; a mistake ends the program in one line."""
    options.peers = options.peers.split(",")
    for letter in options.peers:
        if letter not in PEERS:
            parser.error(f"no peer is called {letter!r}: there are {', '.join(PEERS)}")
        needs = PEERS[letter].needs
        if needs and find_spec(needs) is None:
            install = 'pip install -c constraints.txt -e ".[benchmark]"'
            parser.error(f"peer {letter} needs {needs}: {install}")
    try:
        options.models = tasks_named(options.models)
    except ValueError as error:
        parser.error(str(error))
    pairs = [pair.partition("=")[::2] for pair in filter(None, options.scale.split(","))]
    for letter, trials in pairs:
        if letter not in PEERS or not trials.isdigit() or int(trials) < FEWEST_SCALED:
            parser.error(
                f"--scale {options.scale}: must be like d=32 or c=32,d=32, "
                f"with at least {FEWEST_SCALED} trials"
            )
    options.scale = {letter: int(trials) for letter, trials in pairs}
    return options


def main() -> None:
    """Run all sides in turn and print the table."""
    options = read_options()
    runs: list[Measured] = []
    with tempfile.TemporaryDirectory() as name:
        for seed in range(options.rounds):
            for task in options.models:
                more = shlex.split(options.dltune)
                runs.append(
                    run_dltune(task, trials=options.trials, seed=seed, folder=Path(name), more=more)
                )
                note(f"round {seed}, {task.title}, dltune: {runs[-1].seconds:.1f} s")
                for letter in options.peers:
                    trials = min(options.trials, options.scale.get(letter, options.trials))
                    runs.append(
                        run_peer(letter, task, trials=trials, asked=options.trials, seed=seed)
                    )
                    scaled = "" if trials == options.trials else f", scaled from {trials} trials"
                    note(f"  {PEERS[letter].title}: {runs[-1].seconds:.1f} s{scaled}")
    report(
        f"{options.trials} trials, {options.rounds} rounds; {options.dltune or 'no options'}",
        rows_of(runs, options.trials),
        packages=PACKAGES,
        json_file=options.json,
        trials=options.trials,
        runs=[dataclasses.asdict(run) for run in runs],
    )


if __name__ == "__main__":
    main()
