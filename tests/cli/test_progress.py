"""Where a search stands: text, bar and plain lines, from a clock that the test moves."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dltune.cli.progress import SearchProgress, best_so_far, completed
from dltune.search.events import EventKind, StudyEvent
from dltune.training.history import EpochRecord, TrialRecord, TrialState

STILL = 3600.0  # seconds: no drawing but those that the test brings about


class Clock:
    """Seconds that the test sets."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def frames(self) -> list[str]:
        """The lines that were drawn, one for each drawing, without what moves the cursor."""
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())
        return [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def on_terminal(monkeypatch: pytest.MonkeyPatch, kind: str = "xterm") -> Terminal:
    """From now on, what goes to stderr goes to a terminal. (In a fixture, pytest would undo it.)"""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", kind)
    return screen


def event(kind: EventKind, **parts: Any) -> StudyEvent:
    return StudyEvent(kind=kind, **{"done": 0, "total": 10} | parts)


def best(number: int, dev_error: float) -> TrialRecord:
    return TrialRecord(
        number=number, seed=0, state=TrialState.COMPLETE, objective=dev_error, dev_error=dev_error
    )


def leader(number: int, dev_error: float, dev_loss: float = 1.0) -> EpochRecord:
    return EpochRecord(
        trial=number,
        epoch=1,
        lr=0.1,
        train_loss=1.0,
        train_error=0.5,
        dev_loss=dev_loss,
        dev_error=dev_error,
        grad_norm=1.0,
        update_ratio=1e-3,
        dead_units=None,
        seconds=0.1,
    )


def test_best_running_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    on_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", "200")
    with SearchProgress(Path("runs/x"), clock=clock, tick=STILL) as progress:
        progress(event(EventKind.STARTED))
        clock.seconds += 60.0  # torch is loaded: that says nothing about the trials
        progress(event(EventKind.TRAINING, running=1))
        clock.seconds += 30.0
        half = event(EventKind.EPOCH, done=2, running=2, share=0.5, best=best(1, 0.25))
        progress(half)
        # 2.5 of 10 trials in 30 s: 5 a minute, 90 s for the rest.
        assert completed(half) == 2.5
        assert progress.text(half, 200, has_bar=False) == (
            "2 done, 2 running of 10  best dev error 0.2500 (trial 1)  5 trials/min  "
            "1 min 30 s gone, 1 min 30 s left"
        )


def test_a_resumed_study_counts_its_own_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    on_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", "200")
    with SearchProgress(Path("runs/x"), clock=clock, tick=STILL) as progress:
        progress(event(EventKind.STARTED, done=8))
        progress(event(EventKind.TRAINING, done=8, running=1))
        clock.seconds += 60.0
        ended = event(EventKind.TRIAL, done=9)
        progress(ended)
        assert progress.text(ended, 200, has_bar=False) == (
            "9 done of 10  no trial complete yet  1 trials/min  1 min 0 s gone, 1 min 0 s left"
        )


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        pytest.param({}, "no trial complete yet", id="nothing"),
        pytest.param(
            {"leader": leader(4, 0.5)}, "best dev error 0.5000 (trial 4, running)", id="running"
        ),
        pytest.param(
            {"leader": leader(4, 0.25), "best": best(2, 0.5)},
            "best dev error 0.2500 (trial 4, running)",
            id="running is better",
        ),
        pytest.param(
            {"leader": leader(4, 0.5), "best": best(2, 0.5)},
            "best dev error 0.5000 (trial 2)",
            id="running is as good",
        ),
        pytest.param(
            {"leader": leader(4, 0.75, dev_loss=0.125), "metric": "dev_loss"},
            "best dev loss 0.1250 (trial 4, running)",
            id="the metric is the loss",
        ),
    ],
)
def test_the_best_may_still_run(parts: dict[str, Any], text: str) -> None:
    assert best_so_far(event(EventKind.EPOCH, **parts)) == text


def test_in_a_narrow_terminal_words_go_before_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    on_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", "200")
    with SearchProgress(Path("runs/x"), clock=clock, tick=STILL) as progress:
        progress(event(EventKind.STARTED, total=4096))
        progress(event(EventKind.TRAINING, total=4096))
        clock.seconds += 6.0
        now = event(
            EventKind.EPOCH, total=4096, done=1000, running=128, leader=leader(1234, 0.0223)
        )
        progress(now)
        counts = "1000 done, 128 running of 4096"
        assert [progress.text(now, columns) for columns in (200, 119, 90, 80, 60, 40, 30, 200)] == [
            f"{counts}  ━━━━━───────────────  best dev error 0.0223 (trial 1234, running)  "
            "10,000 trials/min  6 s gone, 19 s left",
            f"{counts}  ━━━────────  best 0.0223 (trial 1234, running)  10,000/min  "
            "6 s gone, 19 s left",
            f"{counts}  ━━───────  best 0.0223  6 s gone, 19 s left",
            f"{counts}  ━━──────  best 0.0223  6 s gone, 19 s left",
            f"{counts}  best 0.0223  6 s, 19 s left",
            f"{counts}  6 s",
            counts,
            f"{counts}  6 s",  # it does not grow back
        ]


def a_search(progress: SearchProgress, clock: Clock) -> None:
    """200 trials in stacks of 40, two epochs of two seconds each."""
    progress(event(EventKind.STARTED, total=200, notes=("digits: 1,797 examples",)))
    progress(event(EventKind.NOTED, total=200, notes=("stacks of 40",)))
    progress(event(EventKind.TRAINING, total=200, running=1))
    for first in range(0, 200, 40):
        for epoch in (1, 2):
            clock.seconds += 2.0
            progress(
                event(
                    EventKind.EPOCH,
                    done=first,
                    total=200,
                    running=40,
                    share=40 * epoch / 2,
                    best=best(first - 7, 0.5 - first / 1000) if first else None,
                    leader=leader(first + 9, 0.75 - first / 1000 - epoch / 5),
                )
            )
        for number in range(40):
            progress(
                event(
                    EventKind.TRIAL,
                    done=first + number + 1,
                    total=200,
                    running=39 - number,
                    share=39.0 - number,
                    best=best(first + 9, 0.35 - first / 1000),
                )
            )


def test_plain_lines_are_few(
    capsys: pytest.CaptureFixture[str], golden: Callable[[str], str]
) -> None:
    clock = Clock()
    with SearchProgress(Path("runs/x"), clock=clock, tick=STILL) as progress:
        a_search(progress, clock)
    written = capsys.readouterr().err
    assert written.rstrip("\n") == golden("search_progress.txt")
    assert "\r" not in written
    assert max(map(len, written.splitlines())) <= 80


def test_notes_are_for_those_who_want_them(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with SearchProgress(Path("runs/x"), verbose=True, clock=clock, tick=STILL) as progress:
        a_search(progress, clock)
    assert capsys.readouterr().err.splitlines()[2] == "stacks of 40"


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_the_line_fits_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str], str]
) -> None:
    screen, clock = on_terminal(monkeypatch), Clock()
    monkeypatch.setenv("COLUMNS", str(columns))
    with SearchProgress(Path("runs/x"), verbose=True, clock=clock, tick=STILL) as progress:
        clock.seconds += 2.0
        a_search(progress, clock)
    assert "\n".join(screen.frames()) == golden(f"search_line_{columns}.txt")
    assert max(map(len, screen.frames())) < columns


def test_the_bar_is_drawn_ten_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, clock = on_terminal(monkeypatch), Clock()
    with SearchProgress(Path("runs/x"), clock=clock, tick=STILL) as progress:
        progress(event(EventKind.STARTED, total=4))
        before = len(screen.frames())
        for epoch in range(1, 1001):
            clock.seconds += 0.002
            progress(event(EventKind.EPOCH, running=1, share=epoch / 1000, total=4))
        drawn = len(screen.frames()) - before
    assert 15 <= drawn <= 21  # in two seconds


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = on_terminal(monkeypatch, "dumb")
    with SearchProgress(Path("runs/x")) as progress:
        a_search(progress, Clock())
    assert {"\x1b", "\r"}.isdisjoint(screen.getvalue())
    assert len(screen.getvalue().splitlines()) == 12
