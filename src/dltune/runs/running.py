"""What a run folder keeps of trials that are not over: where, and what of it nobody needs.

Written and read by the processes that train (`keepers.CohortKeeper`); here no torch is
needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from dltune.runs.checkpoint import FOLDER, RUNNING
from dltune.runs.from_json import parse_json


def kept_files(run: Path) -> dict[int, str]:
    """Of each trial that is kept the name of the file that has most of its epochs; what is damaged
    is left out.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[int, tuple[int, str]] = {}
    for file in sorted((run / FOLDER / RUNNING).glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy") as stored:
                about = parse_json((stored.metadata() or {})["about"].encode())
            for training in about["trainings"]:
                number, epochs = int(training["number"]), int(training["epochs"])
                found[number] = max(found.get(number, (0, "")), (epochs, file.name))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            continue
    return {number: name for number, (_, name) in found.items() if name}


def keep_only(run: Path, names: Collection[str]) -> None:
    """Remove the files of trials that pause, but for these."""
    for file in (run / FOLDER / RUNNING).glob("*.safetensors"):
        if file.name not in names:
            file.unlink(missing_ok=True)


def forget_running(run: Path) -> None:
    """Remove what is kept of trials that train: they are over, or begin anew."""
    shutil.rmtree(run / FOLDER / RUNNING, ignore_errors=True)
