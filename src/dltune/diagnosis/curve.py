"""What the curves of one training say, by arithmetic on its epochs alone.

The rules are those that hold for a single training without a second one to compare with: a loss
that left the finite numbers, one that ended above its start, a dev curve that rose after its best
epoch or still fell at the end, a train loss that stands still, a gradient norm that jumped. A
change counts if it is material, beyond the noise of its own curve, and, for a share of examples,
beyond what counting them can tell.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator
from statistics import median

from dltune.diagnosis.intervals import newcombe
from dltune.runs.run import Run
from dltune.training.history import TrialRecord, TrialState

MOST_LINES = 3  # beside the errors of the best epoch, more would not be read
FEWEST_EPOCHS = 6  # two windows of three, the least that has a median of its own
SMOOTH_EPOCHS = 5  # of the running median: one odd epoch, or two beside each other, leave no trace
# Of the lowest value. On the 40 labelled runs of OverfitGuard a last stretch above 1.05 times the
# lowest tells overfitting as well as one above 1.1 or 1.2 times does.
MATERIAL = 0.05
FLAT = 0.01  # of the loss, over a quarter of the epochs: runwise's rule of a plateau
BEYOND_NOISE = 2.0  # standard deviations: of a normal distribution, 95 % lie within
MAD_SIGMA = 1.4826  # of a normal distribution, over its median absolute deviation
NORM_JUMP = 10.0  # over the median, as in trainproof's and runwise's rules of spikes
LATE = 0.75  # share of the epochs after which a best epoch says that more may help
LEAST_PATIENCE = 3  # epochs; with fewer, one bad epoch and its neighbour end a training


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """One figure over the epochs, all finite.

    examples  that a share was counted on; None for any other figure.
    """

    name: str
    values: tuple[float, ...]
    examples: int | None = None

    @functools.cached_property
    def smooth(self) -> list[float]:
        """The running median; at both ends of what there is.

        >>> Curve(name="", values=(5, 4, 9, 2, 1)).smooth
        [5, 4.5, 4, 3.0, 2]
        """
        half = SMOOTH_EPOCHS // 2
        count = len(self.values)
        return [median(self.values[max(0, at - half) : at + half + 1]) for at in range(count)]

    @functools.cached_property
    def noise(self) -> float:
        """The standard deviation around the running median, from the median of the distances."""
        pairs = zip(self.values, self.smooth, strict=True)
        return MAD_SIGMA * median(abs(value - smooth) for value, smooth in pairs)

    @property
    def tail(self) -> tuple[float, ...]:
        """The last tenth, of three epochs at least."""
        return self.values[-max(3, len(self.values) // 10) :]

    def is_below(self, low: float, high: float) -> bool:
        """Whether one value is below another by more than the examples can bring about."""
        if self.examples is None:
            return low < high
        return newcombe(high, self.examples, low, self.examples)[0] > 0

    @property
    def rose(self) -> bool:
        """Whether all the last epochs lie above the lowest stretch, materially and beyond noise."""
        low = min(self.smooth)
        bound = low + max(MATERIAL * abs(low), BEYOND_NOISE * self.noise)
        return all(value > bound for value in self.tail) and self.is_below(low, median(self.tail))

    @property
    def fall(self) -> tuple[float, float, int] | None:
        """From where to where it still fell in the last epochs, and their number; or None."""
        count = len(self.values)
        window = max(3, count // 5)
        before, after = median(self.values[-2 * window : -window]), median(self.values[-window:])
        is_late = self.values.index(min(self.values)) + 1 > LATE * count
        is_large = before - after > max(MATERIAL * abs(before), BEYOND_NOISE * self.noise)
        if not (is_late and is_large and self.is_below(after, before)):
            return None
        return before, after, window


def read_run(run: Run) -> tuple[str, ...]:
    """What the curves of a run of train say; of any other run nothing, since it has many."""
    if run.about.command != "train":
        return ()
    proportion = run.about.data.task != "regression"
    return tuple(line for trial in run.trials for line in read_curves(trial, proportion=proportion))


def read_curves(trial: TrialRecord, *, proportion: bool) -> tuple[str, ...]:
    """One to three sentences on the curves of a trial; none without epochs.

    trial       with its history.
    proportion  whether errors are shares of examples; the one of a regression is not.

    >>> read_curves(TrialRecord(number=0, seed=0, state=TrialState.FAILED), proportion=True)
    ()
    """
    history = trial.history
    if not history:
        return ()
    if blow_up := _blow_up(trial):
        return (blow_up,)
    if len(history) < FEWEST_EPOCHS:
        count = "1 epoch is" if len(history) == 1 else f"{len(history)} epochs are"
        return (f"{count} too few to read a trend from",)
    since = _flat_since(trial)
    if since == 1:
        loss = trial.history[-1].train_loss
        moves = "dltune lr-find finds an optim.lr that moves it"
        return (f"train loss flat from the first epoch on, at {loss:.3g}: {moves}",)
    lines = [*_rise(trial), *_dev(trial, proportion)]
    if since is not None:
        lines.append(f"train loss flat since epoch {since}, at {trial.history[-1].train_loss:.3g}")
    lines += _norms(trial)
    none = "dev error and loss show no trend beyond their noise in the last epochs"
    return tuple(lines[:MOST_LINES]) or (none,)


def _blow_up(trial: TrialRecord) -> str:
    """The first epoch that has a figure that is no number."""
    way_out = "a lower optim.lr may hold it"
    outlives = trial.config.get("train.on_divergence") == "lr/10"
    if outlives and trial.state is not TrialState.DIVERGED:
        way_out = "it went on at a tenth of the rate, which a lower optim.lr may spare it"
    for place, one in enumerate(trial.history):
        figures = {"train loss": one.train_loss, "train error": one.train_error}
        figures |= {"dev loss": one.dev_loss, "dev error": one.dev_error}
        odd = [name for name, value in figures.items() if not math.isfinite(value)]
        if odd:
            text = f"{odd[0]} left the finite numbers in epoch {one.epoch}, at lr {one.lr:.3g}"
            if not place:
                return f"{text}: {way_out}"
            norm = trial.history[place - 1].grad_norm
            return f"{text}, after a gradient norm of {norm:.3g}: {way_out}"
    return ""


def _train_loss(trial: TrialRecord) -> Curve:
    return Curve(name="train loss", values=tuple(one.train_loss for one in trial.history))


def _rise(trial: TrialRecord) -> Iterator[str]:
    train = _train_loss(trial)
    first, last = train.values[0], median(train.tail)
    if train.rose and last > first:
        yield (
            f"train loss ended at {last:.3g}, above the {first:.3g} of epoch 1: "
            "optim.lr is likely too high"
        )


def _dev(trial: TrialRecord, proportion: bool) -> Iterator[str]:
    """Whether the dev curves rose after their best epoch, or still fell at the end."""
    examples = trial.examples.get("dev") if proportion else None
    error = Curve(
        name="dev error",
        values=tuple(one.dev_error for one in trial.history),
        examples=examples,
    )
    loss = Curve(name="dev loss", values=tuple(one.dev_loss for one in trial.history))
    ranked = loss if trial.config.get("objective.metric") == "dev_loss" else error
    if ranked.rose:
        since = f" and rose since, to {_show(median(ranked.tail))}"
        yield _no_better(trial, ranked, since, train_rose=_train_loss(trial).rose)
        return
    falling = [one for one in (error, loss) if one.fall is not None]
    if falling:
        yield _still_falling(falling[0], error, trial)
        return
    if loss.rose:
        low, end = _best_epoch(loss), median(loss.tail)
        yield (
            f"dev loss was lowest at epoch {low} ({_show(min(loss.values))}) and rose since, to "
            f"{_show(end)}; the dev error did not{_counted(examples)}: the model grows surer of "
            "its mistakes"
        )
    saved = _saved(trial, ranked)
    if saved is not None and saved[1] >= (1 - LATE) * len(trial.history):
        yield _no_better(trial, ranked, "")


def _no_better(trial: TrialRecord, curve: Curve, since: str, *, train_rose: bool = False) -> str:
    """How it went on after the best epoch, and what would have been better."""
    best, count = _best_epoch(curve), len(trial.history)
    text = f"{curve.name} was best at epoch {best} of {count} ({_show(min(curve.values))})"
    text += since or ", and no better since"
    if train_rose:  # no overfitting, which a stop prevents: it does not fit the train split either
        return f"{text}; the train loss rose too: optim.lr is likely too high for so many epochs"
    saved = _saved(trial, curve)
    if saved is None:
        return text
    patience, epochs = saved
    noun = "epoch" if epochs == 1 else "epochs"
    return f"{text}: --set regularize.early_stop={patience} would have saved {epochs} {noun}"


def _still_falling(curve: Curve, error: Curve, trial: TrialRecord) -> str:
    assert curve.fall is not None
    before, after, window = curve.fall
    text = f"{curve.name} still fell at the end, {_show(before)} to {_show(after)} in {window}"
    unseen = f"; the dev error did not{_counted(error.examples)}" if curve is not error else ""
    more = "" if trial.state is TrialState.INTERRUPTED else ": more epochs may help"
    return f"{text} epochs{unseen}{more}"


def _saved(trial: TrialRecord, curve: Curve) -> tuple[int, int] | None:
    """The patience that would have come to the same best epoch, and the epochs that it saves.

    None where that is none, or where the recipe has a patience already.
    """
    if trial.config.get("regularize.early_stop") is not None:
        return None
    better, best = [0], math.inf
    for epoch, value in enumerate(curve.values, start=1):
        if value < best:
            better.append(epoch)
            best = value
    longest = max(after - before for before, after in itertools.pairwise(better))
    patience = max(LEAST_PATIENCE, len(curve.values) // 10, longest)
    epochs = len(curve.values) - better[-1] - patience
    return (patience, epochs) if epochs > 0 else None


def _flat_since(trial: TrialRecord) -> int | None:
    """The epoch since when the train loss stands still, for a quarter of all epochs or longer.

    None where it moves, or where nothing is left to learn.
    """
    smooth = _train_loss(trial).smooth
    low = high = smooth[-1]
    since = len(smooth)
    for place in reversed(range(len(smooth))):
        low, high = min(low, smooth[place]), max(high, smooth[place])
        if high - low > FLAT * abs(high):
            break
        since = place + 1
    is_long = len(smooth) - since >= max(3, len(smooth) // 4)
    return since if is_long and trial.history[-1].train_error > 0 else None


def _norms(trial: TrialRecord) -> Iterator[str]:
    """A gradient norm far above those of the first half, and of the first epochs."""
    norms = [one.grad_norm for one in trial.history]
    usual = max(median(norms[: len(norms) // 2]), *norms[:3])
    peak = max(norms)
    if math.isfinite(peak) and peak >= NORM_JUMP * usual > 0:
        epoch = trial.history[norms.index(peak)].epoch
        yield (
            f"gradient norm rose to {peak:.3g} in epoch {epoch}, {peak / usual:.0f} times the "
            f"{usual:.3g} from before: --set regularize.clip_norm={usual:.2g} would hold it"
        )


def _best_epoch(curve: Curve) -> int:
    return curve.values.index(min(curve.values)) + 1


def _counted(examples: int | None) -> str:
    return "" if examples is None else f", as far as {examples:,} examples tell"


def _show(value: float) -> str:
    return f"{value:.4f}" if value < 1000 else f"{value:.3g}"
