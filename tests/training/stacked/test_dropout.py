"""Masks of a stack: those of each trial alone, in their shares, row by row."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dltune.models.dropout import Dropout, DropoutBits, drawn, seed_dropout, threshold
from dltune.training.stacked.dropout import DRAWN_AHEAD, DropoutMasks

LIKE = torch.zeros(1)


def test_a_row_has_the_masks_of_its_layer_alone() -> None:
    layer = Dropout(0.3)
    layer.bits = DropoutBits(7)
    masks = DropoutMasks([[0.5, 0.3]], [[1, 7]], LIKE)
    batches = [5, 5, 3]
    masks.start_epoch(batches)
    for examples in batches:
        alone = layer(torch.ones(examples, 6))  # (n, units)
        mask = masks.mask(0, 6, examples)
        assert mask is not None
        torch.testing.assert_close(mask[1].t(), alone)


def test_channels_are_dropped_alike() -> None:
    layer = Dropout(0.4, channels=True)
    layer.bits = DropoutBits(3)
    masks = DropoutMasks([[0.4]], [[3]], LIKE)
    masks.start_epoch([4])
    mask = masks.mask(0, 5, 4)
    assert mask is not None
    torch.testing.assert_close(mask[0].t(), layer(torch.ones(4, 5, 2, 2))[:, :, 0, 0])


@pytest.mark.parametrize("p", [0.001, 0.25, 0.9])
def test_share_and_mean(p: float) -> None:
    masks = DropoutMasks([[p, 0.0]], [[1, 2]], LIKE)
    masks.start_epoch([1000])
    mask = masks.mask(0, 200, 1000)
    assert mask is not None
    # 200,000 draws: within five standard deviations
    spread = (p * (1 - p) / 2e5) ** 0.5
    assert (mask[0] == 0).double().mean().item() == pytest.approx(p, abs=5 * spread)
    assert mask[0].double().mean().item() == pytest.approx(1.0, abs=5 * spread / (1 - p))
    assert torch.equal(mask[1], torch.ones(200, 1000))  # no dropout in this row


def test_no_mask_where_no_row_drops() -> None:
    masks = DropoutMasks([[0.0, 0.0]], [[1, 2]], LIKE)
    masks.start_epoch([10])
    assert masks.mask(0, 4, 10) is None


def test_a_smaller_stack_goes_on_where_it_was() -> None:
    whole = DropoutMasks([[0.5, 0.2, 0.4]], [[1, 2, 3]], LIKE)
    fewer = DropoutMasks([[0.5, 0.2, 0.4]], [[1, 2, 3]], LIKE)
    for masks in (whole, fewer):
        masks.start_epoch([8])
        masks.mask(0, 3, 8)
    fewer.keep([0, 2])
    for masks in (whole, fewer):
        masks.start_epoch([8])
    one, other = whole.mask(0, 3, 8), fewer.mask(0, 3, 8)
    assert one is not None
    assert other is not None
    assert torch.equal(one[[0, 2]], other)


def test_drawing_ahead_in_pieces_changes_nothing() -> None:
    """An epoch that is drawn in several pieces: each pass has its own numbers."""
    units, batches = 130, [200, 200, 200, 200, 77]
    assert sum(drawn(units * batch) for batch in batches) > DRAWN_AHEAD
    masks, alone = DropoutMasks([[0.5]], [[9]], LIKE), DropoutBits(9)
    masks.start_epoch(batches)
    for examples in batches:
        mask = masks.mask(0, units, examples)
        bits = alone.draw(units * examples).view(units, examples)
        assert mask is not None
        assert torch.equal(mask[0] > 0, bits >= 0)


def test_layers_have_streams_of_their_own() -> None:
    model = nn.Sequential(Dropout(0.5), Dropout(0.5))
    seed_dropout(model, [1, 2])
    ones = torch.ones(10, 50)
    assert not torch.equal(model[0](ones), model[1](ones))


@pytest.mark.parametrize(("p", "least", "factor"), [(0.0, -32768, 1.0), (0.75, 16384, 4.0)])
def test_threshold(p: float, least: int, factor: float) -> None:
    assert threshold(p) == (least, factor)


def test_even_the_largest_share_keeps_something() -> None:
    assert threshold(1 - 1e-9) == (32767, 65536.0)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_share_on_cuda() -> None:
    masks = DropoutMasks([[0.3, 0.0]], [[1, 2]], torch.zeros(1, device="cuda"))
    masks.start_epoch([100])
    mask = masks.mask(0, 500, 100)
    assert mask is not None
    assert (mask[0] == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert bool((mask[1] == 1).all())
