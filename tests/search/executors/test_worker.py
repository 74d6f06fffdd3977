"""What a worker tells: everything but epochs at once, those ten times a second."""

from __future__ import annotations

import pytest

from dltune.search.executors.protocol import EpochEnded, Noted, TrialEnded, TrialStarted
from dltune.search.executors.worker import thinned
from dltune.training.history import EpochRecord, TrialState
from tests.search.executors.trials import trial


def record(number: int, epoch: int) -> EpochRecord:
    return EpochRecord(
        trial=number,
        epoch=epoch,
        lr=0.1,
        train_loss=1.0,
        train_error=0.5,
        dev_loss=1.0,
        dev_error=0.5,
        grad_norm=1.0,
        update_ratio=1e-3,
        dead_units=None,
        seconds=0.01,
    )


def ended(*records: EpochRecord) -> EpochEnded:
    return EpochEnded(records=list(records))


def over(number: int) -> TrialEnded:
    return TrialEnded(record=trial(number).record(TrialState.FAILED, "as it is"), checkpoint=None)


def test_the_newest_record_of_each_trial_ten_times_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    told = []
    progress = [ended(record(0, epoch), record(1, epoch)) for epoch in range(1, 26)]

    def ticking() -> object:
        for one in progress:
            clock[0] += 1 / 32
            yield one

    for one in thinned(ticking()):  # type: ignore[arg-type]
        assert isinstance(one, EpochEnded)
        told.append((clock[0], [(record.trial, record.epoch) for record in one.records]))
    assert told == [
        (4 / 32, [(0, 4), (1, 4)]),
        (8 / 32, [(0, 8), (1, 8)]),
        (12 / 32, [(0, 12), (1, 12)]),
        (16 / 32, [(0, 16), (1, 16)]),
        (20 / 32, [(0, 20), (1, 20)]),
        (24 / 32, [(0, 24), (1, 24)]),
    ]


def test_of_a_trial_that_is_over_no_epoch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    end, start, note = over(0), TrialStarted(trial=trial(2)), Noted(text="so")

    def slow() -> object:
        yield ended(record(0, 1), record(1, 1))
        yield end
        yield start
        yield note
        clock[0] = 1.0
        yield ended(record(1, 2))

    assert list(thinned(slow())) == [end, start, note, ended(record(1, 2))]  # type: ignore[arg-type]
