"""Dropout: shares, scale, channels, and nothing at all in eval mode."""

from __future__ import annotations

import pytest
import torch

from dltune.models.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_and_scale(p: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(1000, 100))
    values = dropped.unique()
    torch.testing.assert_close(values, torch.tensor([0.0, 1 / (1 - p)]))
    # 100,000 draws: four standard deviations of the share are 4 sqrt(p (1 - p) / 1e5)
    assert (dropped == 0).float().mean().item() == pytest.approx(
        p, abs=4 * (p * (1 - p) / 1e5) ** 0.5
    )


def test_whole_channels() -> None:
    torch.manual_seed(0)
    dropped = Dropout(0.5, channels=True)(torch.ones(50, 20, 3, 3)).flatten(2)
    assert torch.equal(dropped.amin(dim=2), dropped.amax(dim=2))
    assert 0.4 < (dropped[:, :, 0] == 0).float().mean().item() < 0.6


def test_gradient_passes_through_what_is_kept() -> None:
    x = torch.ones(100, requires_grad=True)
    torch.manual_seed(0)
    y = Dropout(0.5)(x.unsqueeze(0))
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach()[0])


def test_eval_and_zero_leave_the_input_alone() -> None:
    x = torch.randn(3, 4)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("channels", [False, True])
def test_share_on_cuda(channels: bool) -> None:
    dropped = Dropout(0.3, channels=channels)(torch.ones(100, 100, 4, 4, device="cuda"))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.03)
