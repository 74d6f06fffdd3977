"""What a search has saved by ending trials early."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import textwrap
from collections.abc import Mapping, Sequence

from dltune.report.numbers import count_of, show_error
from dltune.report.terminal import PLAIN_WIDTH
from dltune.search.audit import Audit
from dltune.training.history import TrialRecord, TrialState

EPOCHS_SHOWN = 4  # more of them are no picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Saved:
    """What pruning has saved.

    pruned   trials that were ended after so many epochs, by epochs.
    trained  epochs of all trials.
    whole    what they would have been had the pruned ones trained to their ends.
    """

    pruned: Mapping[int, int]
    trained: int
    whole: int

    @classmethod
    def of(cls, trials: Sequence[TrialRecord]) -> Saved:
        """By the records of a search."""
        pruned = [one for one in trials if one.state is TrialState.PRUNED]
        trained = sum(one.epochs for one in trials)
        cut = [one for one in trials if one.state in (TrialState.PRUNED, TrialState.INTERRUPTED)]
        left = sum(int(one.config.get("train.epochs", one.epochs)) - one.epochs for one in cut)
        at = collections.Counter(one.epochs for one in pruned)
        return cls(pruned=dict(sorted(at.items())), trained=trained, whole=trained + left)


def render_pruned(trials: Sequence[TrialRecord], *, width: int = PLAIN_WIDTH) -> str:
    """What pruning has saved and an audit has shown, in words; empty text if no trial was pruned.

    >>> pruned = TrialRecord(number=0, seed=0, state=TrialState.PRUNED, epochs=2,
    ...                      config={"train.epochs": 20})
    >>> whole = TrialRecord(number=1, seed=0, state=TrialState.COMPLETE, epochs=20)
    >>> print(render_pruned([pruned, whole]))
    1 of 2 trials pruned (1 at epoch 2): 22 of 40 epochs trained, 55 %
    """
    saved, audit = Saved.of(trials), Audit.of(trials)
    parts = [_saved(saved, len(trials)) if saved.pruned else "", _audited(audit) if audit else ""]
    lines = [textwrap.wrap(text, width, subsequent_indent="  ") for text in parts if text]
    return "\n".join(itertools.chain.from_iterable(lines))


def _saved(saved: Saved, trials: int) -> str:
    total = sum(saved.pruned.values())
    shown = list(saved.pruned.items())[:EPOCHS_SHOWN]
    where = ", ".join(f"{count} at epoch {epoch}" for epoch, count in shown)
    later = total - sum(count for _, count in shown)
    where += f", {later} later" if later else ""
    share = f"{100 * saved.trained / saved.whole:.0f} %"
    text = f"{total} of {count_of(trials, 'trial')} pruned ({where}): "
    return f"{text}{saved.trained:,} of {saved.whole:,} epochs trained, {share}"


def _audited(audit: Audit) -> str:
    """What an audit has shown, in words."""
    what = f"audit: {audit.audited} of {audit.pruned} pruned trials trained to their ends"
    if audit.winner is not None:
        won = f"trial {audit.winner.number} would have won, {_objective(audit.winner)}"
        return f"{what}: {won}" + (f" against {_objective(audit.best)}" if audit.best else "")
    if audit.best is None:
        return f"{what}: none has come to anything, nor has one that was not pruned"
    return f"{what}: none is better than trial {audit.best.number}, {_objective(audit.best)}"


def _objective(trial: TrialRecord) -> str:
    return show_error(trial.objective)
