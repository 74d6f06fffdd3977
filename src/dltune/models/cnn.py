"""The convolutional network: blocks of convolution and pooling, then dense layers."""

from __future__ import annotations

from torch import nn

from dltune.errors import ModelError
from dltune.models.activations import build_activation
from dltune.models.dropout import Dropout
from dltune.models.mlp import dense_layers, dropout_per_layer
from dltune.recipe.schema import CnnConfig


def output_side(side: int, *, kernel: int, stride: int, padding: int) -> int:
    """Length of one side after a convolution or pooling: floor((W - F + 2P) / S) + 1.

    side, kernel, stride, padding  in pixels; 0 or less comes out where the kernel does not fit.

    >>> output_side(8, kernel=3, stride=1, padding=1)
    8
    >>> output_side(2, kernel=3, stride=1, padding=0)
    0
    """
    return (side - kernel + 2 * padding) // stride + 1


def _padding(model: CnnConfig) -> int:
    """Pixels on each side; for "same" what keeps the side of an odd kernel at a stride of 1."""
    if isinstance(model.padding, int):
        return model.padding
    return (model.kernel - 1) // 2 if model.padding == "same" else 0


def _keeps_sides(model: CnnConfig) -> bool:
    return model.padding == "same" and model.stride == 1


def _shrink(
    sides: tuple[int, int], *, layer: str, kernel: int, stride: int, padding: int
) -> tuple[int, int]:
    height, width = (
        output_side(side, kernel=kernel, stride=stride, padding=padding) for side in sides
    )
    if min(height, width) < 1 or min(sides) + 2 * padding < kernel:
        raise ModelError(
            f"model: {layer} does not fit: a {kernel}x{kernel} window on {sides[0]}x{sides[1]} "
            f"pixels with padding {padding} leaves nothing",
            hint="Try fewer model.filters, a smaller model.kernel, or --set model.pool=none.",
        )
    return height, width


def build_cnn(model: CnnConfig, *, inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """Per entry of `filters` convolution, batch norm, activation, pooling; then dense layers.

    model    `filters` per block, kernel, stride, padding, pool; `hidden` widths of the dense part.
    inputs   (channels, height, width) of one example.
    outputs  classes or targets.

    Dropout drops whole channels after a block (Tompson et al. 2015, 1411.4280, section 3.1) and
    single units after a dense layer.

    Raises ModelError if the data are no images, or naming the layer that does not fit:
    a side is floor((W - F + 2P) / S) + 1 pixels after every convolution and pooling.
    """
    if len(inputs) != 3:
        raise ModelError(
            'model.name = "cnn" needs images (channels, height, width), '
            f"but an example has shape {inputs}",
            hint="Try --set model.name=mlp.",
        )
    channels, sides = inputs[0], (inputs[1], inputs[2])
    dropouts = dropout_per_layer(model.dropout, len(model.filters) + len(model.hidden))
    layers: list[nn.Module] = []
    for block, filters in enumerate(model.filters, start=1):
        layers += _block(model, channels, filters, dropout=dropouts[block - 1])
        sides = _sides_after(model, sides, block=block)
        channels = filters
    width = channels * sides[0] * sides[1]
    dense = dense_layers(
        width,
        model.hidden,
        activation=model.activation,
        dropouts=dropouts[len(model.filters) :],
        batch_norm=model.batch_norm,
    )
    last = model.hidden[-1] if model.hidden else width
    return nn.Sequential(*layers, nn.Flatten(), *dense, nn.Linear(last, outputs))


def _block(model: CnnConfig, channels: int, filters: int, *, dropout: float) -> list[nn.Module]:
    layers: list[nn.Module] = [
        nn.Conv2d(
            channels,
            filters,
            model.kernel,
            stride=model.stride,
            # torch pads an even kernel unevenly to keep the side; it cannot with a stride.
            padding="same" if _keeps_sides(model) else _padding(model),
            bias=not model.batch_norm,
        )
    ]
    if model.batch_norm:
        layers.append(nn.BatchNorm2d(filters))
    layers.append(build_activation(model.activation))
    if model.pool != "none":
        pool = nn.MaxPool2d if model.pool == "max" else nn.AvgPool2d
        layers.append(pool(model.pool_size))
    layers.append(Dropout(dropout, channels=True))
    return layers


def _sides_after(model: CnnConfig, sides: tuple[int, int], *, block: int) -> tuple[int, int]:
    if not _keeps_sides(model):
        sides = _shrink(
            sides,
            layer=f"convolution {block}",
            kernel=model.kernel,
            stride=model.stride,
            padding=_padding(model),
        )
    if model.pool == "none":
        return sides
    size = model.pool_size
    return _shrink(sides, layer=f"pooling {block}", kernel=size, stride=size, padding=0)
