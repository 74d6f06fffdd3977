"""Where a search stands: text, bar and plain lines, from a clock that the test moves."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from dltune.cli.progress import SearchProgress
from dltune.search.events import EventKind, StudyEvent
from dltune.training.history import TrialResult, TrialState


class Clock:
    """Seconds that the test sets."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def event(kind: EventKind, **parts: Any) -> StudyEvent:
    return StudyEvent(kind=kind, **{"done": 0, "total": 10} | parts)


def best(number: int, dev_error: float) -> TrialResult:
    return TrialResult(
        number=number, seed=0, state=TrialState.COMPLETE, objective=dev_error, dev_error=dev_error
    )


def test_best_speed_and_time_left() -> None:
    clock = Clock()
    with SearchProgress(Path("runs/x"), clock=clock) as progress:
        progress(event(EventKind.STARTED))
        clock.seconds += 30.0
        half = event(EventKind.EPOCH, number=2, epoch=5, epochs=10, done=2, best=best(1, 0.25))
        progress(half)
        # 2.5 of 10 trials in 30 s: 5 a minute, 90 s for the rest.
        assert progress.completed(half) == 2.5
        assert progress.text(half) == (
            "best dev error 0.2500 (trial 1)  5 trials/min  1 min 30 s left"
        )


def test_a_resumed_study_counts_its_own_speed() -> None:
    clock = Clock()
    with SearchProgress(Path("runs/x"), clock=clock) as progress:
        progress(event(EventKind.STARTED, done=8))
        clock.seconds += 60.0
        ended = event(EventKind.TRIAL, number=8, done=9)
        assert progress.text(ended) == "no trial complete yet  1 trials/min  1 min 0 s left"


def test_plain_lines_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with SearchProgress(Path("runs/x"), clock=clock) as progress:
        progress(event(EventKind.STARTED, total=200, notes=("digits: 1,797 examples",)))
        for number in range(200):
            clock.seconds += 0.5
            for epoch in (1, 2):
                progress(
                    event(
                        EventKind.EPOCH,
                        number=number,
                        epoch=epoch,
                        epochs=2,
                        done=number,
                        total=200,
                    )
                )
            progress(event(EventKind.TRIAL, number=number, done=number + 1, total=200))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["digits: 1,797 examples", "runs/x: 200 trials"]
    assert [line.partition(":")[0] for line in lines[2:]] == [
        f"{done} of 200 trials" for done in range(20, 201, 20)
    ]


def test_the_bar_is_drawn_ten_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, clock = Terminal(), Clock()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with SearchProgress(Path("runs/x"), clock=clock) as progress:
        progress(event(EventKind.STARTED, total=4))
        before = screen.getvalue().count("\r")
        for epoch in range(1, 1001):
            clock.seconds += 0.002
            progress(
                event(
                    EventKind.EPOCH,
                    number=0,
                    epoch=epoch,
                    epochs=1000,
                    total=4,
                    best=best(3, 0.125),
                )
            )
        drawn = screen.getvalue().count("\r") - before
    assert 15 <= drawn <= 21  # in two seconds
    assert re.search(r"0/4 .*best dev error 0\.1250 \(trial 3\) .* left", screen.getvalue())
