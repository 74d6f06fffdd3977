"""A training as one watches it: curves at the foot of a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from dltune.cli import output
from dltune.cli.status import StatusLine, columns_of, lines_of, obeys_escapes, whole_seconds
from dltune.report.curves import CURVE_ROWS, LEGEND, can_hold_curves, render_curves, tinted
from dltune.report.numbers import show_error, show_value
from dltune.report.terminal import wants_color
from dltune.training.history import EpochRecord

if TYPE_CHECKING:  # torch takes seconds to import, pydantic half of one
    from dltune.recipe.schema import Config
    from dltune.training.engine import Stop
    from dltune.training.loop import CohortEpoch
    from dltune.training.outcome import TrialOutcome

PLAIN_LINES = 10  # of a whole training, where nobody watches
SPARE_LINES = 3  # of the terminal, above the panel: what is written there can be read
CURVE_SHARE = 50  # of the time: curves that took long to draw are drawn less often, 2 % of it
GAP = "  "
SIGNS = "⠒·┌─┐│┤┬└┘"  # as a terminal without Unicode does not have them


def follow(
    training: Generator[CohortEpoch, Mapping[int, Stop] | None, list[TrialOutcome]],
    config: Config,
    status: StatusLine,
    *,
    history: Sequence[EpochRecord] = (),
) -> list[TrialOutcome]:
    """Show every epoch of one trial until it is over; its outcome, in a list.

    history  the epochs that it has had before.

    On a terminal that has room, a panel is drawn anew with every epoch and stays when the training
    is over. In a smaller one every epoch is a line; where nobody watches, one in ten is.
    """
    from dltune.training.reactions import Reactions

    reactions = Reactions(config)
    for record in history:
        reactions.see(record)
    last_good = max((one.epoch for one in history if not one.non_finite), default=0)
    epochs = config.train.epochs
    every = 1 if sys.stderr.isatty() else max(1, epochs // PLAIN_LINES)
    panel = Panel(config, history=history)
    status.stage(f"epoch {len(history) + 1} of {epochs}")
    while True:
        try:
            records = next(training).records
        except StopIteration as end:
            panel.end()
            status.keep("keeping the best epoch")
            return cast("list[TrialOutcome]", end.value)
        for record in records:
            panel.see(record)
            has_panel = status.is_drawn and panel.fits(
                columns_of(sys.stderr) - 1, lines_of(sys.stderr)
            )
            if has_panel:
                status.show(panel.on_screen)
            elif record.epoch % every == 0 or record.epoch == epochs:
                columns = columns_of(sys.stderr) if status.is_drawn else None
                output.say(epoch_line(record, epochs, columns=columns))
            reactions.see(record)
            if not record.non_finite:
                last_good = record.epoch
            elif reactions.outlives and record.epoch < epochs:
                output.say(reaction_line(record, last_good))
            if not has_panel:
                status.stage(f"epoch {min(record.epoch + 1, epochs)} of {epochs}")


class Panel:
    """The curves so far, and where the training stands.

    config  of the trial.
    history  the epochs before those that are seen.
    clock   seconds that only ever rise.
    """

    def __init__(
        self,
        config: Config,
        *,
        history: Sequence[EpochRecord] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._epochs, self._metric = config.train.epochs, config.objective.metric
        self._clock, self._began = clock, clock()
        self._history: list[EpochRecord] = []
        self._best: EpochRecord | None = None
        self._latest = self._began  # when the latest epoch was over
        self._is_over = False
        # An early stop may come at any time.
        self._most = "" if config.regularize.early_stop is None else "at most "
        self._curves, self._size, self._drawn_epochs = "", (0, 0), 0
        self._next_curves = -math.inf  # on the clock; before, the old ones will do
        self._before = len(history)
        for record in history:
            self.see(record)

    def see(self, record: EpochRecord) -> None:
        """Take in one epoch."""
        self._history.append(record)
        self._latest = self._clock()
        value = float(getattr(record, self._metric))
        best = math.inf if self._best is None else float(getattr(self._best, self._metric))
        if value < best and not record.non_finite:
            self._best = record

    def end(self) -> None:
        """From now on nothing is left to wait for, and the curves are drawn to their end."""
        self._is_over, self._next_curves = True, -math.inf

    def fits(self, columns: int, lines: int) -> bool:
        """Whether a terminal of so many columns and lines has room for it, and has its signs."""
        try:
            SIGNS.encode(getattr(sys.stderr, "encoding", None) or "utf-8")
        except UnicodeEncodeError:
            return False
        rows = self._curve_rows(columns, lines)
        return obeys_escapes() and can_hold_curves(columns, rows)

    def on_screen(self, columns: int) -> str:
        """The text for a status line: the panel, in colours, or a line where it has become small.

        columns  that there are for it.
        """
        lines = lines_of(sys.stderr)
        if not self.fits(columns, lines):
            return f"{self._place}   {self._times}"
        text = self.text(columns, lines)
        return tinted(text) if wants_color(sys.stderr) else text

    def text(self, columns: int, lines: int) -> str:
        """The panel for a terminal that it fits, without colours; its first line is empty."""
        curves = self._draw_curves(columns, self._curve_rows(columns, lines))
        return "\n".join(["", curves, *self._numbers(columns)])

    def _curve_rows(self, columns: int, lines: int) -> int:
        spare = lines - SPARE_LINES - 1 - len(self._numbers(columns))
        return min(CURVE_ROWS, spare)

    def _draw_curves(self, columns: int, rows: int) -> str:
        """Anew where the size is another one, or where there are more epochs and it is time."""
        size, epochs, now = (columns, rows), len(self._history), self._clock()
        if size != self._size or (epochs > self._drawn_epochs and now >= self._next_curves):
            is_first = not self._curves  # which loads what draws it, too
            self._curves = render_curves(self._history[:epochs], width=columns, rows=rows)
            self._size, self._drawn_epochs = size, epochs
            after = self._clock()
            self._next_curves = after + (0.0 if is_first else CURVE_SHARE * (after - now))
        return self._curves

    def _numbers(self, columns: int) -> list[str]:
        """The latest epoch and the best one, in as many lines as it takes."""
        latest, best = self._history[-1], self._best
        train, dev = (
            f"{LEGEND[split]} {split:5}  loss {show_error(loss):6}  error {show_error(error):6}"
            for split, loss, error in (
                ("train", latest.train_loss, latest.train_error),
                ("dev", latest.dev_loss, latest.dev_error),
            )
        )
        found = "" if best is None else f"best epoch {best.epoch}: {show_error(best.dev_error)}"
        rate, norm = show_value(latest.lr), show_value(latest.grad_norm)
        state = [self._place, f"lr {rate}", f"gradient norm {norm}", self._times]
        blocks = [[train], [dev, found], state]
        return [line.rstrip() for block in blocks for line in _folded(block, columns)]

    @property
    def _place(self) -> str:
        return f"epoch {self._history[-1].epoch} of {self._epochs}"

    @property
    def _times(self) -> str:
        """How long it has trained, and will, if the epochs to come take as long as those so far."""
        now = self._clock()
        if self._is_over:
            return whole_seconds(self._latest - self._began)
        each = (self._latest - self._began) / max(1, len(self._history) - self._before)
        ends = self._latest + each * (self._epochs - self._history[-1].epoch)
        left = whole_seconds(max(0.0, ends - now))
        return f"{whole_seconds(now - self._began)} gone, {self._most}{left} left"


def reaction_line(record: EpochRecord, last_good: int) -> str:
    """What `train.on_divergence = "lr/10"` does about an epoch that diverged.

    last_good  the epoch before it that did not; 0 for none.
    """
    back = f"epoch {last_good}" if last_good else "the start"
    why = f"non-finite {record.non_finite} in epoch {record.epoch}"
    return f"{why}: back to {back}, and on at a tenth of the rate"


def _folded(parts: Sequence[str], columns: int) -> list[str]:
    """The parts in as few lines as hold them.

    >>> _folded(["epoch 1 of 2", "lr 0.1", ""], 20), _folded(["epoch 1 of 2", "lr 0.001"], 20)
    (['epoch 1 of 2  lr 0.1'], ['epoch 1 of 2', 'lr 0.001'])
    """
    lines: list[str] = []
    for part in filter(None, parts):
        if lines and len(lines[-1]) + len(GAP) + len(part) <= columns:
            lines[-1] += GAP + part
        else:
            lines.append(part)
    return lines


def epoch_line(record: EpochRecord, epochs: int, *, columns: int | None = None) -> str:
    """One epoch, in words that fit the columns of a terminal; None for as many as it takes.

    >>> from dltune.training.history import EpochRecord
    >>> print(epoch_line(EpochRecord(
    ...     trial=0, epoch=3, lr=1e-3, train_loss=0.1, train_error=0.02, dev_loss=0.21,
    ...     dev_error=0.05, grad_norm=1.0, update_ratio=1e-3, dead_units=0.0, seconds=0.1), 20))
    epoch  3/20  lr 0.001  train loss 0.1000 error 0.0200  dev loss 0.2100 error 0.0500
    """
    place = f"{record.epoch:{len(str(epochs))}d}/{epochs}"
    losses = [show_error(loss) for loss in (record.train_loss, record.dev_loss)]
    errors = [show_error(error) for error in (record.train_error, record.dev_error)]
    train, dev = (f"loss {loss} error {error}" for loss, error in zip(losses, errors, strict=True))
    forms = [
        f"epoch {place}  lr {show_value(record.lr)}  train {train}  dev {dev}",
        f"epoch {place}  train {train}  dev {dev}",
        f"epoch {place}  error: train {errors[0]}  dev {errors[1]}",
        f"{place}  error {errors[0]}, dev {errors[1]}",
    ]
    return next((one for one in forms if columns is None or len(one) <= columns), forms[-1])
