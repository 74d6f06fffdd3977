"""The signals that end a command: where they strike, and where they wait."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator

import pytest

from dltune.search.interrupts import (
    SIGNALS,
    Interruption,
    Interrupts,
    exit_code,
    interruptible,
    without_signals,
    words,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")


@pytest.fixture(autouse=True)
def fixture_as_python_starts() -> Iterator[None]:
    """Where a shell starts the tests in the background, it has switched Ctrl-C off."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


# What a shell reports is 128 + the number (POSIX, 2.8.2; Bash manual, "Exit Status").
@pytest.mark.parametrize(
    ("name", "word", "code"),
    [("SIGINT", "Ctrl-C", 130), ("SIGTERM", "SIGTERM", 143), ("SIGHUP", "SIGHUP", 129)],
)
def test_each_strikes_where_it_may(name: str, word: str, code: int) -> None:
    number, before, reached = getattr(signal, name), handlers(), []
    assert (words(number), exit_code(number)) == (word, code)
    try:
        with interruptible():
            signal.raise_signal(number)
            reached.append("here")
    except Interruption as end:
        struck = end
    assert (str(struck), struck.exit_code, reached) == (f"stopped by {word}", code, [])
    assert handlers() == before


def test_the_writing_is_not_cut_off_and_the_first_one_counts() -> None:
    written = []
    with Interrupts() as interrupts:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            signal.raise_signal(number)
            written.append(number)
        assert interrupts.reason == "stopped by SIGTERM"
        with pytest.raises(Interruption) as struck, interrupts.allowed():
            written.append(signal.SIGHUP)
    assert len(written) == 3
    assert struck.value.exit_code == 143


def test_what_ends_by_itself_is_left_alone_until_the_second() -> None:
    calls = []

    def on_first() -> bool:
        calls.append(interrupts.requested)
        return True

    with Interrupts(on_first) as interrupts:
        with interrupts.allowed():
            signal.raise_signal(signal.SIGTERM)
            calls.append("goes on")
        with interrupts.allowed():
            calls.append("and on")
        with pytest.raises(Interruption), interrupts.allowed():
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # while what is left is written
    assert calls == [signal.SIGTERM, "goes on", "and on"]


def test_what_has_nothing_to_end_is_struck_at_once() -> None:
    with (
        Interrupts(lambda: False) as interrupts,
        pytest.raises(Interruption),
        interrupts.allowed(),
    ):
        signal.raise_signal(signal.SIGINT)


def test_what_was_ignored_or_is_somebody_elses_stays() -> None:
    def mine(number: int, frame: object) -> None: ...

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    signal.signal(signal.SIGTERM, mine)
    with interruptible():
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is mine
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGTERM) is mine


def test_one_inside_another_gives_the_signals_back() -> None:
    with Interrupts() as outer:
        with Interrupts() as inner:
            signal.raise_signal(signal.SIGINT)
        assert (inner.requested, outer.requested) == (signal.SIGINT, 0)
        signal.raise_signal(signal.SIGHUP)
        assert outer.requested == signal.SIGHUP


def test_another_thread_changes_nothing() -> None:
    before, seen = handlers(), []

    def look() -> None:
        with Interrupts():
            seen.append(handlers())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


def test_signals_wait_until_a_process_is_started() -> None:
    reached = []
    try:
        with interruptible():
            with without_signals():
                signal.raise_signal(signal.SIGTERM)
                reached.append("inside")
            reached.append("after it")
    except Interruption:
        reached.append("struck")
    assert reached == ["inside", "struck"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("importing", [False, True])
def test_an_import_is_left_at_once_and_other_code_by_an_exception(
    name: str, importing: bool, tmp_path: object
) -> None:
    strike = "import signal\nsignal.raise_signal(signal.SIGNAL)\n".replace("SIGNAL)", f"{name})")
    program = f"""
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        sys.path.insert(0, {str(tmp_path)!r})
        from dltune.search.interrupts import Interruption, Leave, install
        open({str(tmp_path) + "/struck.py"!r}, "w").write({strike!r})
        install(Leave(always=False))
        try:
            {"import struck" if importing else f"signal.raise_signal(signal.{name})"}
        except Interruption as end:
            print("raised", end.exit_code)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
    )
    code = exit_code(getattr(signal, name))
    if importing:
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "interrupted\n")
    else:
        assert (done.returncode, done.stdout, done.stderr) == (0, f"raised {code}\n", "")
