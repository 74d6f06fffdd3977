"""The convolutional network: sizes by the formula, and the layer that does not fit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dltune.errors import ModelError
from dltune.models.cnn import build_cnn, output_side
from dltune.recipe.schema import CnnConfig


@given(
    side=st.integers(1, 20),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
)
def test_output_side_equals_torch(side: int, kernel: int, stride: int, padding: int) -> None:
    if side + 2 * padding < kernel:
        assert output_side(side, kernel=kernel, stride=stride, padding=padding) < 1
        return
    conv = nn.Conv2d(1, 1, kernel, stride=stride, padding=padding)
    expected = conv(torch.zeros(1, 1, side, side)).shape[-1]
    assert output_side(side, kernel=kernel, stride=stride, padding=padding) == expected


def test_default_network_on_digits() -> None:
    model = build_cnn(CnnConfig(hidden=[64]), inputs=(1, 8, 8), outputs=10)
    # conv 16: 3*3*1*16+16, conv 32: 3*3*16*32+32, dense: 32*2*2*64+64, out: 64*10+10
    assert sum(w.numel() for w in model.parameters()) == 160 + 4640 + 8256 + 650
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("pool", ["max", "avg", "none"])
@pytest.mark.parametrize("padding", ["same", "valid", 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_any_combination_that_fits_gives_logits(pool: str, padding: str | int, stride: int) -> None:
    model = build_cnn(
        CnnConfig(filters=[4], hidden=[], padding=padding, pool=pool, stride=stride),
        inputs=(3, 9, 7),
        outputs=5,
    )
    assert model(torch.zeros(2, 3, 9, 7)).shape == (2, 5)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_an_even_kernel_keeps_the_sides_too() -> None:
    cnn = CnnConfig(filters=[4], kernel=4, hidden=[], pool="none")
    model = build_cnn(cnn, inputs=(1, 8, 8), outputs=2)
    assert model[-1].in_features == 4 * 8 * 8
    assert model(torch.zeros(1, 1, 8, 8)).shape == (1, 2)


def test_batch_norm_and_channel_dropout() -> None:
    model = build_cnn(
        CnnConfig(filters=[4], hidden=[6], batch_norm=True, dropout=[0.2, 0.4]),
        inputs=(1, 8, 8),
        outputs=2,
    )
    assert [type(layer).__name__ for layer in model.children()] == [
        "Conv2d",
        "BatchNorm2d",
        "ReLU",
        "MaxPool2d",
        "Dropout",
        "Flatten",
        "Linear",
        "BatchNorm1d",
        "ReLU",
        "Dropout",
        "Linear",
    ]
    assert model[0].bias is None


def test_the_error_names_the_layer_that_does_not_fit() -> None:
    with pytest.raises(ModelError) as caught:
        build_cnn(CnnConfig(filters=[4, 4, 4, 4]), inputs=(1, 8, 8), outputs=2)
    assert caught.value.found == (
        "model: pooling 4 does not fit: a 2x2 window on 1x1 pixels with padding 0 leaves nothing"
    )
    with pytest.raises(ModelError, match="convolution 1 does not fit: a 9x9 window on 8x8 pixels"):
        build_cnn(CnnConfig(filters=[4], kernel=9, padding="valid"), inputs=(1, 8, 8), outputs=2)


def test_a_table_is_no_image() -> None:
    with pytest.raises(ModelError) as caught:
        build_cnn(CnnConfig(), inputs=(30,), outputs=2)
    assert str(caught.value) == (
        'model.name = "cnn" needs images (channels, height, width), but an example has shape '
        "(30,)\nTry --set model.name=mlp."
    )
