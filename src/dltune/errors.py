"""The exception tree: one class to catch, one message shape.

DltuneError
├── UsageError       an option on the command line
├── RecipeError      a recipe, a range, an override
├── DataError        a data source or its contents
├── ModelError       a model that cannot be built, or does not fit the data
├── TrainingError    a setting that the training cannot honour
├── SweepError       a learning-rate sweep that cannot run
├── RunFolderError   a run folder that is missing, taken or damaged
└── DiagnosisError   errors and sizes that make no sense

Every message says what was found and where, what must hold, and what to type. What happens inside a
trial (a non-finite loss, memory that ran out) is data, not an exception: see
`dltune.training.history`.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Callable, Iterable


class DltuneError(Exception):
    """A mistake the user can mend; the command line prints it in two calm lines and exits with 2.

    found  what was found and where, and what must hold.
    hint   what to type instead; may be empty.

    >>> print(DltuneError("optim.lr = -1: must be greater than 0", hint="Try --set optim.lr=1e-3."))
    optim.lr = -1: must be greater than 0
    Try --set optim.lr=1e-3.
    """

    def __init__(self, found: str, *, hint: str = "") -> None:
        super().__init__(found if not hint else f"{found}\n{hint}")
        self.found = found
        self.hint = hint


class UsageError(DltuneError):
    """An option on the command line that cannot be honoured."""


class RecipeError(DltuneError):
    """A recipe, a range in it, or an override of it that is not valid."""


class DataError(DltuneError):
    """A data source that cannot be read or whose contents cannot be trained on."""


class ModelError(DltuneError):
    """A model that cannot be built or that does not fit the data."""


class TrainingError(DltuneError):
    """A training setting that cannot be honoured with this data, model or device."""


class SweepError(DltuneError):
    """A learning-rate sweep whose range or number of steps cannot be run."""


class RunFolderError(DltuneError):
    """A run folder that is missing, already taken, or damaged."""


class FolderTakenError(RunFolderError):
    """A folder that another run has, or that another process writes in."""


class DiagnosisError(DltuneError):
    """Errors or sizes that cannot be diagnosed."""


def escaped(text: str) -> str:
    """The text on one line, with an escape for whatever a terminal would act on instead of showing.

    >>> print(escaped("wide\\x1b[2J\\n"), escaped("größer 大"))
    wide\\x1b[2J\\n größer 大
    """
    return with_escapes(text, lambda one: one.encode("unicode_escape").decode())


def with_escapes(text: str, escape: Callable[[str], str], *, keep: str = "") -> str:
    """The text with `escape` for each character that a terminal would act on.

    keep  those that stay.
    """
    if text.isprintable():
        return text
    return "".join(
        one
        if one.isprintable() or one in keep or unicodedata.category(one) == "Zs"  # a wide blank
        else escape(one)
        for one in text
    )


# difflib's own default is 0.6; the same value finds `lrr` -> `lr` and rejects unrelated words.
SPELLING_CUTOFF = 0.6


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate spelled most like `word`, or None if none is close.

    >>> closest("lrr", ["lr", "momentum"])
    'lr'
    >>> closest("colour", ["lr", "momentum"]) is None
    True
    """
    matches = difflib.get_close_matches(word, list(candidates), n=1, cutoff=SPELLING_CUTOFF)
    return matches[0] if matches else None


# torch has an exception of its own for CUDA only. The CPU's allocator, Apple's GPU and cuBLAS (for
# its workspace) raise a RuntimeError that is told from others by its text.
OUT_OF_MEMORY_TEXTS = (
    "can't allocate memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


# What glibc's loader says where no room is left for a library (`ulimit -v`, a container).
LOADER_TEXTS = ("failed to map segment", "cannot allocate memory", "Cannot allocate memory")


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or one that led to it, says that memory ran out, wherever it did.

    >>> ran_out_of_memory(MemoryError()), ran_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    if isinstance(error, MemoryError):  # NumPy's and pyarrow's are such
        return True
    if isinstance(error, ImportError | OSError) and any(map(str(error).count, LOADER_TEXTS)):
        return True
    if isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError"  # torch's, which need not be imported here
        or any(text in str(error) for text in OUT_OF_MEMORY_TEXTS)
    ):
        return True
    return error.__cause__ is not None and ran_out_of_memory(error.__cause__)


def first_line(error: BaseException) -> str:
    """What an exception says, without the lines that only its author can use.

    >>> first_line(RuntimeError("no room\\nat line 3")), first_line(MemoryError())
    ('no room', 'MemoryError')
    """
    return next(iter(str(error).splitlines()), "") or type(error).__name__
