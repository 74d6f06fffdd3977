"""A search that was killed goes on with its running trials from their last checkpoint."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dltune.runs.run import load_run
from tests.cli.test_resumed_training import AT_ONCE

SPACE = (
    "--space", "optim.lr=log:1e-3:1e-1", "--set", "train.epochs=400", "--set", "model.dropout=0.2",
    "--trials", "4", "--workers", "1",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("stack", ["off", "4"])
def test_after_a_kill_it_is_the_same_search(stack: str, dltune, folder: Path) -> None:
    words = ("search", "tiny.toml", *SPACE, "--stack", stack)
    assert dltune(*words, "--name", "whole").code == 0
    process = subprocess.Popen(
        [sys.executable, "-c", AT_ONCE, *words, "--name", "cut"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    running, deadline = Path("runs/cut/checkpoints/running"), time.monotonic() + 60
    while not list(running.glob("*.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert dltune("search", "--resume", "--name", "cut", *SPACE[-2:], "--stack", stack).code == 0
    whole, cut = load_run(Path("runs/whole")), load_run(Path("runs/cut"))
    for one, other in zip(whole.trials, cut.trials, strict=True):
        alike = {"seconds": 0.0, "history": ()}
        assert dataclasses.replace(one, **alike) == dataclasses.replace(other, **alike)
        epochs, again = (
            [dataclasses.replace(record, seconds=0.0) for record in trial.history]
            for trial in (one, other)
        )
        assert epochs == again
    assert not running.exists()
