"""Kill trainings and searches again and again, go on with each, and look whether anything changed.

    python benchmarks/reliability/interruptions.py               # 100 kills; ten minutes
    python benchmarks/reliability/interruptions.py --kills 10    # a look

Each command runs once without being disturbed. Then it is started, killed (SIGKILL, with all its
processes) a moment after it has made a checkpoint, gone on with by --resume, killed again, until it
is complete; and so on with a new one. Checkpoints are made after every epoch. Printed are

kills     that hit a command which trained.
runs      that were completed so.
changed   of them, those that differ from the undisturbed one, in any epoch's figures or weights.
repeated  epochs that a checkpoint had and a later one has not.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from dltune.errors import DltuneError
from dltune.runs.checkpoint import FOLDER, RUNNING, read_checkpoint
from dltune.runs.keepers import LAST
from dltune.runs.run import load_run
from dltune.runs.training_state import read_states

ROOT = Path(__file__).parents[2]
RECIPE = """\
[data]
source = "sklearn:wine"
[model]
hidden = [8]
dropout = 0.3
[optim]
lr = 0.01
[schedule]
name = "cosine"
[train]
epochs = 300
batch_size = 16
device = "cpu"
"""
AT_ONCE = (
    "import sys; import dltune.runs.keepers as module; module.LEAST_SECONDS = 0.0; "
    "module.SHARE = 1e9; from dltune.__main__ import main; sys.exit(main())"
)
COMMANDS = {
    "train": ("recipe.toml",),
    "search": ("recipe.toml", "--space", "optim.lr=log:1e-3:1e-1", "--trials", "4"),
}
LONGEST_WAIT = 0.5  # seconds after a checkpoint: some dozens of epochs
HOW = {"train": (), "search": ("--workers", "1", "--stack", "4")}


def start(command: str, run: str, folder: Path, *, resume: bool) -> subprocess.Popen[bytes]:
    """Start a command, or go on with it, in a session of its own."""
    what = ("--resume",) if resume else COMMANDS[command]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", AT_ONCE, command, *what, *HOW[command], "--name", run],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def epochs_kept(run: Path) -> dict[int, int]:
    """The epochs of every trial that a checkpoint has."""
    files = [*(run / FOLDER / RUNNING).glob("*.safetensors"), run / FOLDER / LAST]
    kept: dict[int, int] = {}
    for file in files:
        if file.exists():
            kept |= {number: one.epochs for number, one in read_states(file).items()}
    return kept


def is_same(one: Path, other: Path) -> bool:
    """Whether two runs have the same figures and weights, but for their times."""
    records = [
        [
            dataclasses.replace(
                trial,
                seconds=0.0,
                history=tuple(dataclasses.replace(r, seconds=0.0) for r in trial.history),
            )
            for trial in load_run(run).trials
        ]
        for run in (one, other)
    ]
    mine, theirs = (read_checkpoint(run).weights for run in (one, other))
    return records[0] == records[1] and all(torch.equal(mine[n], theirs[n]) for n in mine)


def checkpoints(run: Path) -> dict[Path, int]:
    """The files of checkpoints, and when each was written (ns)."""
    files = [*(run / FOLDER / RUNNING).glob("*.safetensors"), run / FOLDER / LAST]
    return {file: file.stat().st_mtime_ns for file in files if file.exists()}


def wait_for_another(run: Path, process: subprocess.Popen[bytes]) -> bool:
    """Wait until there is a new checkpoint; False if the command has ended before."""
    before = checkpoints(run)
    while process.poll() is None:
        if checkpoints(run) != before:
            return True
        time.sleep(0.002)
    return False


def interrupt(command: str, run: str, folder: Path, chance: random.Random) -> tuple[int, int]:
    """Kill one run until it is complete: how often, and how many epochs were trained again."""
    path, kills, repeated = folder / "runs" / run, 0, 0
    before: dict[int, int] = {}
    process = start(command, run, folder, resume=False)
    while wait_for_another(path, process):
        time.sleep(chance.uniform(0.0, LONGEST_WAIT))
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        try:
            done = {one.number: one.epochs for one in load_run(path).done}
        except DltuneError:
            done = {}
        kept = epochs_kept(path) | done
        repeated += sum(max(0, epochs - kept.get(number, 0)) for number, epochs in before.items())
        before = kept
        process = start(command, run, folder, resume=(path / "study.journal").exists())
    process.wait()
    return kills, repeated


def main() -> None:
    """Kill, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print("command  kills  runs  changed  repeated")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "recipe.toml").write_text(RECIPE)
        for command in COMMANDS:
            start(command, f"{command}-whole", folder, resume=False).wait()
            kills, changed, repeated, number = 0, 0, 0, 0
            while kills < options.kills / len(COMMANDS):
                run = f"{command}-{number}"
                hits, again = interrupt(command, run, folder, chance)
                kills, repeated, number = kills + hits, repeated + again, number + 1
                runs = folder / "runs"
                changed += not is_same(runs / f"{command}-whole", runs / run)
            print(f"{command:7}  {kills:5}  {number:4}  {changed:7}  {repeated:8}", flush=True)


if __name__ == "__main__":
    main()
