"""What a peer came to, and how it is run: quietly, counted, timed, and never fatal."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook


@dataclasses.dataclass(frozen=True, kw_only=True)
class PeerResult:
    """Of one call of a finder.

    rates    by the name of the rule; None where a rule gives none.
    updates  of an optimizer, from the start to the end of the call.
    seconds  of wall time, for the model, the loader and the finder; not for imports.
    error    class of the exception that ended the call; where single rules raised, each one's name
             and class, as in "slide IndexError"; empty if all went well.
    """

    rates: dict[str, float | None]
    updates: int
    seconds: float
    error: str = ""


@dataclasses.dataclass
class Clock:
    """Updates and seconds of what ran under `measured`."""

    updates: int = 0
    seconds: float = 0.0


@contextlib.contextmanager
def measured() -> Iterator[Clock]:
    """Inside, every step of every torch optimizer is counted; afterwards the seconds are known."""
    clock = Clock()

    def count(*_: object) -> None:
        clock.updates += 1

    hook = register_optimizer_step_post_hook(count)
    started = time.perf_counter()
    try:
        yield clock
    finally:
        clock.seconds = time.perf_counter() - started
        hook.remove()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, nothing is printed or warned of, and torch's random state is left as it was."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),  # tqdm's bars
        torch.random.fork_rng(devices=[]),
    ):
        warnings.simplefilter("ignore")
        yield


def run_finder(
    find: Callable[[], dict[str, float | None]],
    *,
    rules: Sequence[str],
    failed: Mapping[str, str] | None = None,
) -> PeerResult:
    """Call a finder; an exception of it is a result, too: no rate from any of its rules.

    rules   names of the rates that `find` gives.
    failed  filled by `find`: exceptions of single rules, by name.
    """
    rates: dict[str, float | None] = dict.fromkeys(rules)
    error = ""
    with quiet(), measured() as clock:
        try:
            rates |= find()
        except Exception as problem:  # whatever a peer may raise
            error = type(problem).__name__
    if failed and not error:
        error = ", ".join(f"{rule} {kind}" for rule, kind in failed.items())
    return PeerResult(rates=rates, updates=clock.updates, seconds=clock.seconds, error=error)
