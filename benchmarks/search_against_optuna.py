"""dltune search against a plain Optuna + DataLoader + torch.optim.Adam script, whole processes.

64 random trials of 10 epochs on digits, MLP 64-128-128-10, batch 64, Adam, over lr (log), weight
decay (log) and dropout. The two are run in turn, in rounds with different seeds; the figure is the
median of the rounds' ratios, so that what else the machine does falls on both.

    python benchmarks/search_against_optuna.py            # about three minutes on two cores
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEER = ROOT / "benchmarks" / "peers" / "optuna_dataloader.py"
SPLIT = ROOT / "benchmarks" / "peers" / "digits_split.py"
RECIPE = ROOT / "recipes" / "digits-mlp.toml"


def timed(command: list[str]) -> tuple[float, str]:
    """Wall seconds of a whole process, from its start to its exit, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout


def run_peer(trials: int, seed: int) -> tuple[float, float]:
    seconds, printed = timed(
        [sys.executable, str(PEER), "--trials", str(trials), "--seed", str(seed)]
    )
    return seconds, json.loads(printed)["best_dev_error"]


def run_dltune(trials: int, seed: int, folder: str) -> tuple[float, float]:
    command = [sys.executable, "-m", "dltune", "search", str(RECIPE), "--strategy", "random"]
    command += ["--set", f"data.source={SPLIT}:load"]  # the same examples on both sides
    command += ["--trials", str(trials), "--seed", str(seed), "--json"]
    command += ["--runs-dir", folder, "--name", f"seed-{seed}", "--device", "cpu"]
    seconds, printed = timed(command)
    return seconds, json.loads(printed)["best"]["dev_error"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("torch", "optuna", "numpy", "dltune")))
    print(f"{options.trials} trials, {options.rounds} rounds, seconds from start to exit")
    print("round   peer  dltune   ratio   best dev error: peer  dltune")
    ratios, peer_errors, errors = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.rounds):
            peer_seconds, peer_error = run_peer(options.trials, seed)
            seconds, error = run_dltune(options.trials, seed, folder)
            ratios.append(peer_seconds / seconds)
            peer_errors.append(peer_error)
            errors.append(error)
            print(
                f"{seed:5d} {peer_seconds:6.1f} {seconds:7.1f} {ratios[-1]:7.2f}"
                f"   {peer_error:20.4f} {error:7.4f}",
                flush=True,
            )
    print(f"median ratio {statistics.median(ratios):.2f}")
    print(
        f"best dev error, mean over the rounds: peer {statistics.mean(peer_errors):.4f}, "
        f"dltune {statistics.mean(errors):.4f}"
    )


if __name__ == "__main__":
    main()
