"""Several seeds' curves as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from dltune.lr.blow_up import batch_noise, start_level
from dltune.lr.curve import LrCurve, SweepEnd
from dltune.lr.smooth import CAP_SIGMAS


def combine(curves: Sequence[LrCurve]) -> LrCurve:
    """The mean of the seeds' losses at every rate.

    curves  one a seed, at least one, over the same rates; they may end early.

    The noise of one batch is that of one seed: it goes down with the root of their number, and with
    it what a fall must be to be seen. A seed's losses are cut off three standard deviations of its
    noise above its start, and where it has ended it stays there, so that one seed that blew up
    counts as one seed, however high its last loss. A curve without losses (the fresh model was
    broken already) counts only where all are without.

    >>> shared = dict(initial_loss=2.0, low=0.1, high=0.4, steps=3, epochs=1.0, optimizer="sgd")
    >>> a = LrCurve(rates=(0.1, 0.2, 0.4), losses=(2.0, 1.0, 0.0), end=SweepEnd.RANGE, seed=0,
    ...             **shared)
    >>> b = LrCurve(rates=(0.1, 0.2), losses=(2.0, 1.5), end=SweepEnd.DIVERGED, seed=1, **shared)
    >>> combine([a, b]).losses, str(combine([a, b]).end)
    ((1.375, 1.25, 0.875), 'diverged')
    """
    with_losses = [curve for curve in curves if curve.losses]
    if not with_losses:
        return curves[0]
    longest = max(with_losses, key=lambda curve: len(curve.losses))
    points = len(longest.losses)
    rows = np.empty((len(with_losses), points))
    for row, curve in zip(rows, with_losses, strict=True):
        cap = start_level(curve.losses) + CAP_SIGMAS * batch_noise(curve.losses)
        row[: len(curve.losses)] = np.minimum(curve.losses, cap)
        row[len(curve.losses) :] = cap
    ended = [curve for curve in with_losses if curve.end is not SweepEnd.RANGE]
    if 2 * len(ended) < len(with_losses):  # most seeds got through: no edge was seen
        ended = []
    return dataclasses.replace(
        longest,
        losses=tuple(rows.mean(axis=0).tolist()),
        initial_loss=float(np.mean([curve.initial_loss for curve in with_losses])),
        end=ended[-1].end if ended else SweepEnd.RANGE,
        ended_by=ended[-1].ended_by if ended else "",
        epochs=sum(curve.epochs for curve in curves),
    )
