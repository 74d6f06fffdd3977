"""Plans: what is said about them, and the file that keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dltune.errors import RunFolderError
from dltune.search.plan import LOOPED, Plan, PlanBook

MEASURED = Plan(stack=32, microseconds={1: 437.24, 8: 90.0, 32: 52.4})


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (MEASURED, "stacks of 32: 52 us a trial and update, alone 437 us"),
        (Plan(stack=8), "stacks of 8"),
        (Plan(stack=8, microseconds={8: 3.6}), "stacks of 8: 4 us a trial and update"),
        (LOOPED, "one after another"),
        (Plan(stack=1, microseconds={1: 9.0}), "one after another: 9 us a trial and update"),
        (
            Plan(stack=1, microseconds={1: 9.0, 8: 12.0, 16: 11.0}),
            "one after another: 9 us a trial and update, in a stack of 16 11 us",
        ),
        (Plan(stack=1, reason="it is an LSTM"), "one after another: it is an LSTM"),
        (
            Plan(stack=1, one_worker=True, microseconds={1: 9.0}),
            "one after another in one process with every core: 9 us a trial and update",
        ),
    ],
)
def test_words(plan: Plan, words: str) -> None:
    assert plan.words() == words


def test_what_was_measured_is_there_when_the_study_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    first = PlanBook(path)
    assert first.known("a") is None
    first.keep("a", MEASURED)
    first.keep("b", Plan(stack=1, reason="it is an LSTM"))
    again = PlanBook(path)
    assert again.known("a") == Plan(stack=32, microseconds={1: 437.2, 8: 90.0, 32: 52.4})
    assert again.known("b") == Plan(stack=1, reason="it is an LSTM")
    assert json.loads(path.read_text())["plans"]["a"]["microseconds"] == {
        "1": 437.2,
        "8": 90.0,
        "32": 52.4,
    }


def test_a_limit_makes_stacks_smaller_and_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    book = PlanBook(path)
    book.keep("a", MEASURED)
    book.limit("a", 16, "out of memory")
    assert PlanBook(path).known("a") == Plan(stack=16, microseconds={1: 437.2, 8: 90.0, 32: 52.4})
    book.limit("a", 20, "out of memory")
    assert book.known("a") == Plan(stack=16, microseconds=MEASURED.microseconds)
    book.limit("a", 1, "out of memory")
    assert PlanBook(path).known("a") == Plan(
        stack=1, reason="out of memory", microseconds={1: 437.2, 8: 90.0, 32: 52.4}
    )


def test_without_measuring_nothing_is_read_or_written(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    PlanBook(path).keep("a", MEASURED)
    text = path.read_text()
    off, fixed = PlanBook(path, "off"), PlanBook(path, 4)
    assert off.known("a") == LOOPED
    assert fixed.known("a") is None
    fixed.keep("a", Plan(stack=4))
    assert fixed.known("a") == Plan(stack=4)
    assert path.read_text() == text


def test_a_plan_is_told_once_if_there_is_anything_to_tell() -> None:
    book = PlanBook(None)
    assert book.note("a", "mlp 8", LOOPED) == ""
    assert book.note("a", "mlp 8", MEASURED).startswith("mlp 8: stacks of 32: 52 us")
    assert book.note("a", "mlp 8", MEASURED) == ""


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"a": {}}',
        '{"a": {"stack": 0, "microseconds": {}}}',
        '{"a": {"stack": "8", "microseconds": {}}}',
        '{"a": {"stack": 8, "microseconds": {"x": 1}}}',
        '{"a": {"stack": 8, "colour": 1, "microseconds": {}}}',
    ],
)
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stack.json"
    path.write_text(text)
    with pytest.raises(RunFolderError) as caught:
        PlanBook(path)
    assert caught.value.found.startswith(f"{path}: damaged (")
    assert caught.value.hint == "Delete it: how to train the trials is then measured again."
