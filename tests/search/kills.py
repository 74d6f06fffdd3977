"""Searches that are killed again and again, a moment after each pause of their trials."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dltune.runs.checkpoint import FOLDER, RUNNING

# Running trials are written after every epoch.
PROGRAM = """
import json, sys
import dltune.runs.keepers as module
module.LEAST_SECONDS = 0.0
from pathlib import Path
from dltune.recipe.files import load_recipe
from dltune.search.study import run_study
recipe, path, options = sys.argv[1:]
run_study(load_recipe(recipe), path=Path(path), **json.loads(options))
"""


def kill_until_complete(recipe: Path, run: Path, delays: Sequence[float], **options: Any) -> int:
    """Kill a search (SIGKILL, with all its processes) and go on with it; how often it was hit.

    delays   seconds after something was kept, one for each kill; then it is left alone.
    options  of `run_study`.
    """
    kills = 0
    for delay in [*delays, None]:
        asked = json.dumps({**options, "resume": run.exists()})
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, recipe, run, asked], start_new_session=True
        )
        seen, deadline = _kept(run), time.monotonic() + 60
        while delay is not None and process.poll() is None and _kept(run) == seen:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        if delay is None or process.poll() is not None:
            break
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert process.wait() == 0
    return kills


def _kept(run: Path) -> dict[str, int]:
    """The files of what pauses, and when each was written."""
    found = {}
    for file in (run / FOLDER / RUNNING).glob("*.safetensors"):
        try:
            found[file.name] = file.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found
