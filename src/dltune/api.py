"""What dltune does for a model in memory: one function a task, one plain result each."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dltune.lr.curve import LrCurve, SweepEnd
from dltune.lr.finder import DEFAULT_SEEDS
from dltune.lr.own.copy import ModelOrFactory
from dltune.lr.own.model import OwnSweeps, sweep_own
from dltune.lr.own.optimizer import OptimizerChoice
from dltune.lr.own.training import Forward, Loss, OwnTraining
from dltune.lr.read import LrStatus
from dltune.lr.suggest import ALGORITHM, LrSuggestion, suggest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The advice of a refusal is options of `dltune lr-find`; here they are arguments.
ARGUMENTS: Mapping[str, str] = {
    "--min-lr": "low",
    "--max-lr": "high",
    "--steps": "steps",
    "--seeds": "seeds",
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LrFinding:
    """What `lr_find` found; rates are learning rates, None where the curves do not show them.

    suggestion    for a constant learning rate, two significant digits; None unless the status is
                  "ok".
    peak          for the highest rate of a schedule that decays (cosine, one-cycle, ...).
    band          lowest and highest rate that do as well as the suggestion, within noise.
    search_range  lowest and highest rate to search, with other hyperparameters free.
    edge          stability edge: the largest rate before the loss leaves its minimum for good.
    steepest      where the loss falls fastest against the logarithm of the rate.
    minimum       where the smoothed loss is lowest.
    status        "ok", or why there is no suggestion: see `dltune.lr.read.LrStatus`.
    reason        one sentence: what decided, or what is missing.
    advice        arguments of `lr_find` to try instead; empty if the status is "ok".
    notes         how the range or the number of updates was changed, as sentences.
    curve         the mean over the seeds, which all of this was read from: `curve.rates` and
                  `curve.losses` are tuples of numbers, as long as each other.
    curves        one a seed, with everything that was measured.
    algorithm     version of the rule; the same version reads the same from the same curves.
    reading       what the rule saw, seed by seed too.

    With several parameter groups, rates are those of the group whose own rate is largest.
    """

    suggestion: float | None
    peak: float | None
    band: tuple[float, float] | None
    search_range: tuple[float, float] | None
    edge: float | None
    steepest: float | None
    minimum: float | None
    status: LrStatus
    reason: str
    advice: str
    notes: tuple[str, ...]
    curve: LrCurve
    curves: tuple[LrCurve, ...]
    algorithm: str
    reading: LrSuggestion

    def to_dict(self) -> dict[str, Any]:
        """All of it as numbers, texts, lists and dictionaries; None for what is not finite."""
        from dltune.report.lr_find import suggestion_document

        result = _plain(
            {
                **suggestion_document(self.reading),
                "advice": self.advice,
                "notes": self.notes,
                "curve": dataclasses.asdict(self.curve),
                "curves": [dataclasses.asdict(curve) for curve in self.curves],
            }
        )
        assert isinstance(result, dict)
        return result

    def to_json(self, *, indent: int | None = None) -> str:
        """`to_dict` as JSON, valid for every reader: null where a number is not finite."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure | None:
        """Draw the curves: as a PNG file if a path is given, else as a matplotlib Figure.

        matplotlib.pyplot, its figures and its settings are not touched.
        """
        figure = _drawn(self)
        if path is None:
            return figure
        figure.savefig(Path(path), format="png", dpi=120)
        return None

    def __str__(self) -> str:
        return _printed(self)

    def __repr__(self) -> str:
        return (
            f"LrFinding(suggestion={self.suggestion!r}, band={self.band!r}, "
            f"status={str(self.status)!r}, seeds={len(self.curves)})"
        )


def lr_find(
    model: ModelOrFactory,
    loss: Loss | None,
    data: Any,
    *,
    optimizer: OptimizerChoice = "adam",
    forward: Forward | None = None,
    batch_size: int | None = None,
    accumulate: int = 1,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    seeds: int = DEFAULT_SEEDS,
    seed: int = 0,
    low: float | None = None,
    high: float | None = None,
    steps: int | None = None,
    device: str | torch.device | None = None,
) -> LrFinding:
    """Find a learning rate for a model of your own; nothing that you pass is changed.

    model       a torch.nn.Module, whose present weights every sweep starts with (seeds then differ
                in batches and dropout), or a function without arguments that builds one (then in
                their initial weights too).
    loss        loss(outputs, targets) -> scalar tensor; negative and tiny losses are as good as
                any. None if `forward` is given.
    data        a DataLoader, or anything that gives batches (inputs, targets) at every `for`:
                model(inputs) is called, model(*inputs) for a tuple or list, model(**inputs) for a
                dictionary. Or a pair of tensors (X, y), which is shuffled. Too few batches are gone
                through again.
    optimizer   an optimizer over the model's parameters, taken over with its settings, parameter
                groups and state (learning rates keep their ratios; the largest is reported); or a
                class or function that makes one from the list of parameters; or a name, such as
                "adam", "adamw", "sgd", "momentum".
    forward     forward(model, batch) -> scalar tensor, for batches and models of any other kind.
    batch_size  of a pair of tensors; 64 by default.
    accumulate  batches an update, at least 1: the learning rate rises at every update.
    clip_norm   limit of the gradient's norm, above 0; None for none.
    clip_value  limit of each value of the gradient, above 0; None for none.
    seeds       sweeps, at least 1; from what they differ in comes the band.
    seed        from which theirs derive; the same gives the same result.
    low, high   the range of rates; by default one that suits the optimizer, extended where needed.
    steps       updates of a sweep, at least 20; by default 16 for each factor of ten in the rate,
                and four times as many where the model hardly learns anything.
    device      where to train; by default where the model is.

    What is trained are copies. The model's weights, buffers, gradients and modes, the optimizer,
    the random states of Python, NumPy and torch, and the order of the batches to come are
    afterwards what they were before, also after an exception or Ctrl-C.

    Where the curves support no answer, `suggestion` is None, and `status` and `reason` say why.

    Raises DataError, ModelError, TrainingError or SweepError (all `dltune.errors.DltuneError`) for
    arguments that cannot be used; what the model or the loss raises comes through.

    >>> from sklearn.datasets import load_iris
    >>> X, y = (torch.as_tensor(part) for part in load_iris(return_X_y=True))
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    >>> found = lr_find(model, torch.nn.functional.cross_entropy, (X.float(), y), seeds=2)
    >>> found.status.value, 1e-3 < found.suggestion < 0.5
    ('ok', True)
    """
    training = OwnTraining(
        model=model,
        loss=loss,
        forward=forward,
        optimizer=optimizer,
        accumulate=accumulate,
        clip_norm=clip_norm,
        clip_value=clip_value,
        device=None if device is None else torch.device(device),
    )
    swept = sweep_own(
        training,
        data,
        batch_size=batch_size,
        seeds=seeds,
        seed=seed,
        low=low,
        high=high,
        steps=steps,
    )
    return _finding(swept)


def _finding(swept: OwnSweeps) -> LrFinding:
    # Data that break one seed's sweep break every long training: what the others show is no answer.
    broken = [c for c in swept.curves if c.end is SweepEnd.NON_FINITE and c.ended_at is None]
    reading = suggest(broken or swept.curves)
    return LrFinding(
        suggestion=reading.suggestion,
        peak=reading.peak,
        band=reading.band,
        search_range=reading.search_range,
        edge=reading.edge,
        steepest=reading.steepest,
        minimum=reading.minimum,
        status=reading.status,
        reason=reading.reason,
        advice=_in_arguments(reading.advice),
        notes=swept.notes,
        curve=reading.mean,
        curves=swept.curves,
        algorithm=ALGORITHM,
        reading=reading,
    )


def _printed(found: LrFinding) -> str:
    from dltune.report.lr_find import render_sweeps
    from dltune.report.lr_plot import Sweeps

    return render_sweeps(Sweeps(curves=found.curves, found=found.reading))


def _drawn(found: LrFinding) -> Figure:
    from dltune.report.lr_plot import Sweeps, draw_figure

    shown = Sweeps(curves=found.curves, found=found.reading)
    return draw_figure(shown, title=f"learning-rate sweep, {found.curve.optimizer}")


def _in_arguments(advice: str) -> str:
    """The options of the command line as arguments; those that are none are left out.

    >>> _in_arguments("--steps 400 --seeds 10")
    'steps=400, seeds=10'
    """
    options = re.findall(r"(--\S+) ([^-\s]\S*)", advice)
    return ", ".join(f"{ARGUMENTS[name]}={value}" for name, value in options if name in ARGUMENTS)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, str) else value  # a status is a kind of text
