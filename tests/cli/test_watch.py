"""A training on the screen: the panel, its text and how it is drawn."""

from __future__ import annotations

import math
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dltune.cli.watch import Panel
from dltune.recipe.files import parse_recipe
from dltune.recipe.schema import Config
from dltune.training.history import EpochRecord
from tests.cli.screens import Screen
from tests.histories import blown_up, history_of, overfit

HISTORIES = {
    "falls": overfit(30),
    "one": overfit(1),
    "two": overfit(2),
    "long": overfit(500),
    "blown_up": blown_up(9),
    "constant": history_of(8, train=lambda epoch: 0.0, dev=lambda epoch: 0.4),
    "nothing": history_of(3, train=lambda epoch: math.nan, dev=lambda epoch: math.inf),
}


class Clock:
    """Seconds that the test sets."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def config_of(epochs: int, more: str = "") -> Config:
    text = f'data.source = "sklearn:digits"\ntrain.epochs = {epochs}\n{more}'
    return parse_recipe(text, folder=Path()).config()


def panel_of(history: list[EpochRecord], epochs: int = 50, more: str = "") -> tuple[Panel, Clock]:
    """After the history, of which each epoch took two seconds, and half a second later."""
    clock = Clock()
    panel = Panel(config_of(epochs, more), clock=clock)
    for record in history:
        clock.seconds += 2.0
        panel.see(record)
    clock.seconds += 0.5
    return panel, clock


@pytest.mark.parametrize(
    ("name", "columns", "lines"),
    [("falls", 80, 24), ("falls", 60, 15), ("blown_up", 80, 24), ("one", 60, 15)],
)
def test_the_panel(name: str, columns: int, lines: int, golden: Callable[[str], str]) -> None:
    panel, _ = panel_of(HISTORIES[name])
    assert panel.text(columns - 1, lines) == golden(f"panel_{name}_{columns}x{lines}.txt")


def test_it_fits_the_terminal_or_says_that_it_does_not() -> None:
    """Whatever its size, whatever the numbers."""
    for name, history in HISTORIES.items():
        panel, _ = panel_of(history, epochs=500)
        sizes = [(79, 24), (200, 60), (59, 15), (48, 18), (47, 40), (29, 24), (79, 8), (79, 14)]
        fitting = []
        for columns, lines in sizes:
            if panel.fits(columns, lines):
                text = panel.text(columns, lines).split("\n")
                assert max(map(len, text)) <= min(columns, 80), name
                assert len(text) < lines - 2, name
                fitting.append((columns, lines))
        assert fitting == [(79, 24), (200, 60), (59, 15), (48, 18), (79, 14)], name


def test_where_it_does_not_fit_any_more_it_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    panel, _ = panel_of(overfit(30))
    monkeypatch.setenv("LINES", "8")
    assert panel.on_screen(79) == "epoch 30 of 50   1 min 0 s gone, 40 s left"
    monkeypatch.setenv("LINES", "24")
    assert panel.on_screen(79) == panel.text(79, 24)  # NO_COLOR is set for all tests


def test_a_terminal_without_its_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(Screen):
        encoding = "latin-1"

    panel, _ = panel_of(overfit(3))
    monkeypatch.setattr(sys, "stderr", Plain())
    assert not panel.fits(79, 24)


def test_time_left_and_the_best_epoch() -> None:
    panel, clock = panel_of(overfit(20))
    assert panel.text(79, 24).endswith("40 s gone, 1 min 0 s left")
    assert "best epoch 12: 0.0750" in panel.text(79, 24)
    clock.seconds += 10.0
    assert panel.text(79, 24).endswith("50 s gone, 50 s left")
    panel.end()
    assert panel.text(79, 24).endswith("  40 s")
    early = panel_of(overfit(20), more="regularize.early_stop = 9\n")[0]
    assert early.text(79, 24).endswith("40 s gone, at most 1 min 0 s left")
    by_loss = panel_of(overfit(20), more='objective.metric = "dev_loss"\n')[0]
    assert "best epoch 12: 0.0750" in by_loss.text(79, 24)
    assert "best" not in panel_of(HISTORIES["nothing"])[0].text(79, 24)


def test_curves_take_little_of_the_time() -> None:
    """A drawing that took a second is followed by fifty without, and by one at the end."""
    history = overfit(4)
    panel, clock = panel_of(history[:1])
    panel.text(79, 24)
    panel.see(history[1])
    clock.__class__ = type("Slow", (Clock,), {"__call__": tick})
    second = panel.text(79, 24)
    clock.__class__ = Clock
    panel.see(history[2])
    assert panel.text(79, 24).split("\n")[:13] == second.split("\n")[:13]
    clock.seconds += 60.0
    third = panel.text(79, 24)
    assert third.split("\n")[:13] != second.split("\n")[:13]
    panel.see(history[3])
    panel.end()
    assert panel.text(79, 24).split("\n")[:13] != third.split("\n")[:13]


def tick(clock: Clock) -> float:
    """A clock that goes on by half a second when it is read."""
    clock.seconds += 0.5
    return clock.seconds


def on_terminal(
    arguments: list[str], *, lines: int, columns: int = 80, stop_at: str = ""
) -> tuple[int, Screen]:
    """Run dltune on a pseudo-terminal; its exit code and what then stands there.

    stop_at  it is stopped by SIGTERM when this has been written; empty lets it run to its end.
    """
    import fcntl
    import pty
    import termios

    terminal, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    environment = dict(os.environ)
    environment.pop("COLUMNS")  # set for all tests; it would overrule the terminal
    process = subprocess.Popen(
        [sys.executable, "-m", "dltune", *arguments],
        stdout=other,
        stderr=other,
        env=environment | {"TERM": "xterm", "NO_COLOR": ""},
    )
    os.close(other)
    written = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that the other side has closed
            break
        if not piece:
            break
        written += piece
        if stop_at and stop_at.encode() in written:
            process.terminate()
            stop_at = ""
    os.close(terminal)
    screen = Screen(lines, raw=True)
    screen.write(written.decode())
    return process.wait(timeout=60), screen


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.slow
def test_a_training_leaves_its_curves_on_the_screen_once(folder: Path) -> None:
    (folder / "talks.py").write_text(
        "from torch import nn\n\n"
        "class Talks(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        print('a word')\n"
        "        return super().forward(x)\n\n"
        "def build(inputs, outputs):\n"
        "    return Talks(inputs[0], outputs)\n"
    )
    (folder / "talks.toml").write_text(
        'data.source = "sklearn:wine"\nmodel.factory = "talks.py:build"\n'
        'train = { epochs = 12, batch_size = "full", device = "cpu" }\n'
    )
    code, screen = on_terminal(["train", "talks.toml"], lines=24)
    lines = screen.lines()
    assert code == 0
    assert "\x1b[36m" in screen.getvalue()  # in colours
    (title,) = [at for at, line in enumerate(lines) if line.split() == ["loss", "error"]]
    assert lines[2] == "runs/talks-1: 1 trial of 12 epochs"
    assert set(lines[3 : title - 1]) == {"a word"}
    assert lines[title - 1] == ""
    assert lines[title + 11].split() == ["1", "5", "12"] * 2
    train, dev, place, best = lines[title + 12 : title + 16]
    assert re.fullmatch(r"· train  loss \d\.\d{4}  error 0\.\d{4}", train)
    assert re.fullmatch(r"⠒ dev    loss \d\.\d{4}  error 0\.\d{4}  best epoch \d+: 0.\d{4}", dev)
    assert place.startswith("epoch 12 of 12  lr 0.001  gradient norm ")
    assert "left" not in place
    assert best.startswith("best: epoch ")
    assert not [line for line in lines if line.startswith("epoch 1")][1:]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_low_terminal_every_epoch_is_a_line(folder: Path) -> None:
    settings = ["--set", "optim.lr=0.01", "--set", "train.epochs=12"]
    code, screen = on_terminal(["train", "tiny.toml", *settings], lines=8)
    lines = screen.lines()
    assert code == 0
    assert sum(line.startswith("epoch ") for line in lines) == 12
    assert not [line for line in lines if "┌" in line or "keeping" in line]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_signal_leaves_the_curves_and_its_message(folder: Path) -> None:
    settings = ["--set", "optim.lr=0.01", "--set", "train.epochs=1000000"]
    code, screen = on_terminal(
        ["train", "tiny.toml", *settings], columns=72, lines=24, stop_at="gradient norm"
    )
    lines = screen.lines()
    assert code == 143
    said = "stopping after this update; Ctrl-C again stops at once"
    at = lines.index(said)
    assert lines[at + 1] == ""
    (title,) = [at for at, line in enumerate(lines) if "loss" in line and line.endswith("error")]
    assert title == at + 2
    assert sum("gradient norm" in line for line in lines) == 1
    (best,) = [line for line in lines if line.startswith("best: epoch ")]
    assert "(interrupted)" in best
