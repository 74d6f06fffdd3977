"""What the user's code raises is a mistake of its own; what a signal raises there is none."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from dltune.recipe.places import at, place_of_error
from dltune.recipe.references import load_reference
from dltune.recipe.users_code import in_a_line, in_words, let_signals_through


def raises_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class Raises:
    def method(self, number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def __call__(self, number: int, frame: FrameType | None) -> None:
        sys.exit(143)


HANDLERS = {
    "python's own": signal.default_int_handler,
    "a function": raises_interrupt,
    "a method": Raises().method,
    "an object": Raises(),
}


def caught(action: Callable[[], object]) -> BaseException:
    """What comes of a user's function that raises, and cleans up on the way."""
    try:
        try:
            action()
        finally:
            sorted([3, 2, 1])
    except BaseException as error:
        let_signals_through(error)
        return error
    raise AssertionError("nothing was raised")


def raise_it(error: BaseException) -> None:
    raise error


@pytest.fixture(name="handler", params=HANDLERS.values(), ids=HANDLERS)
def fixture_handler(request: pytest.FixtureRequest) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("handler")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()], ids=repr)
def test_what_the_code_raises_is_its_own(error: BaseException) -> None:
    assert caught(lambda: raise_it(error)) is error
    assert caught(lambda: sys.exit(3)).args == (3,)


@pytest.mark.usefixtures("handler")
def test_what_a_signal_raises_comes_through() -> None:
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        caught(lambda: signal.raise_signal(signal.SIGINT))


@pytest.mark.usefixtures("handler")
def test_a_signal_that_strikes_in_the_middle_of_a_loop_comes_through() -> None:
    def loops() -> None:
        for number in range(3):
            if number == 1:
                signal.raise_signal(signal.SIGINT)
            sum(range(10))

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        caught(loops)


def test_without_a_message_the_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import heapq\ndef f():\n    assert not heapq\n")
    error, place = caught(load_reference("mine.py:f", tmp_path)), tmp_path / "mine.py"
    assert in_words(error) + at(place_of_error(error)) == f"AssertionError ({place}, line 3)"


def test_a_message_that_cannot_be_had_is_left_out() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise SystemExit

    assert in_a_line(Odd()) == "Odd"
    assert in_a_line(ValueError("one\ntwo")) == "ValueError: one"
