"""What the user's code raises, which may be anything, told from a signal that strikes meanwhile."""

from __future__ import annotations

import dis
import signal
from types import CodeType
from typing import Any

RAISE = dis.opmap["RAISE_VARARGS"]  # what a `raise` statement is compiled to


def let_signals_through(error: BaseException) -> None:
    """Raise an exception again if it came from outside, such as Ctrl-C, and not from the code.

    error  just caught around code of the user's, which may raise KeyboardInterrupt, SystemExit,
           asyncio.CancelledError or whatever else it likes: that is a mistake like any other.

    >>> try: raise KeyboardInterrupt
    ... except BaseException as error: let_signals_through(error)
    >>> try:
    ...     try: signal.raise_signal(signal.SIGINT)
    ...     except BaseException as error: let_signals_through(error)
    ... except KeyboardInterrupt: print("Ctrl-C")
    Ctrl-C
    """
    if isinstance(error, KeyboardInterrupt | SystemExit) and _is_from_a_signal(error):
        raise error


def _is_from_a_signal(error: BaseException) -> bool:
    """Whether a signal's handler is among the frames that it went through.

    Python's own handler of Ctrl-C has no frame; what it raises comes from anything but a `raise`.
    """
    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()}
    place = error.__traceback__
    while place is not None:
        code, at = place.tb_frame.f_code, place.tb_lasti
        if code in handlers:
            return True
        place = place.tb_next
    by_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, KeyboardInterrupt) and by_default and code.co_code[at] != RAISE


def _code_of(handler: Any) -> CodeType | None:
    """What a frame of a handler runs, be it a function, a method or an object to be called."""
    own = getattr(handler, "__code__", None)
    return own or getattr(type(handler).__call__, "__code__", None)


def text_of(error: BaseException) -> str:
    """The message of an exception; "" where its class is the user's and its `__str__` raises."""
    try:
        return str(error)
    except BaseException as mistake:
        let_signals_through(mistake)
        return ""


def in_a_line(error: BaseException) -> str:
    """The first line of `in_words`."""
    return in_words(error).partition("\n")[0]


def in_words(error: BaseException, where: str = "") -> str:
    """The name and the message of an exception.

    where  stands between the two.

    >>> in_words(ValueError("too wide")), in_words(ValueError("too wide"), where="in the sweep")
    ('ValueError: too wide', 'ValueError in the sweep: too wide')
    """
    name, text = f"{type(error).__name__} {where}".rstrip(), text_of(error)
    return f"{name}: {text}" if text else name
