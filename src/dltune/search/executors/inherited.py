"""What a process that is started inside has from this one: its environment, and no main script."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

# Read by the thread pools of torch and numpy when these are loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Processes that are started inside do not run the main script first.

    They would, to find what a task has from it. Here a task has nothing from it, and a script that
    starts a search without `if __name__ == "__main__"` would start one in every worker.
    """
    main = sys.modules["__main__"]
    names = [name for name in ("__file__", "__spec__") if hasattr(main, name)]
    before = {name: getattr(main, name) for name in names}
    for name in names:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(main, name, value)


def threads_in_environment(threads: int) -> dict[str, str]:
    """What a process needs in its environment to begin with so many threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Processes that are started inside have these variables.

    >>> with environment({"OMP_NUM_THREADS": "3"}): os.environ["OMP_NUM_THREADS"]
    '3'
    """
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
