"""The forward pass of all rows of a stack at once.

Layout: values are (S, units, examples) in dense layers and (examples, S * channels, height, width)
in convolutions. With the examples last a layer is one batched matrix product without a transpose,
and a softmax over few classes runs along the examples: at 10 classes five times faster than along
the classes. Convolutions of a stack are one convolution with S groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional as F

from dltune.models.activations import Swish
from dltune.models.dropout import Dropout
from dltune.training.stacked.dropout import DropoutMasks

Tensors = Mapping[str, torch.Tensor]
Layer = Callable[[torch.Tensor, "Pass"], torch.Tensor]


class Network(Protocol):
    """What the stacked engine asks of a model."""

    def forward(
        self,
        parameters: Tensors,
        buffers: Tensors,
        inputs: torch.Tensor,
        *,
        dropout: DropoutMasks | None,
        watch: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Outputs (S, K, n).

        parameters  by name (S, *shape); buffers likewise, updated in place in train mode.
        inputs      (S, n, *input_shape), or (n, *input_shape), the same for all rows.
        dropout     the masks of train mode; None is eval mode.
        watch       is given, for every rectifier layer, which units are above zero for some
                    example: bool (S, units).
        """
        ...


class Pass:
    """One forward pass: what the layers share."""

    def __init__(
        self,
        parameters: Tensors,
        buffers: Tensors,
        dropout: DropoutMasks | None,
        watch: list[torch.Tensor] | None,
    ) -> None:
        self.parameters, self.buffers = parameters, buffers
        self.dropout, self.watch = dropout, watch
        self.rows = next(iter(parameters.values())).shape[0]

    @property
    def trains(self) -> bool:
        """Whether the model is in train mode."""
        return self.dropout is not None


class StackedLayers:
    """A built-in model, layer by layer with the weights of all rows.

    template      one of the modules: what does not differ between the rows is read from it.
    example_dims  dimensions of one example.
    """

    def __init__(self, template: nn.Sequential, *, example_dims: int) -> None:
        modules = dict(template.named_children())
        self._is_dense = isinstance(next(iter(modules.values())), nn.Flatten)
        self._example_dims = example_dims
        self._layers: list[Layer] = []
        dropouts = 0
        for number, (name, module) in enumerate(modules.items()):
            if number > 0 or not self._is_dense:  # the inputs of a dense model are flattened below
                self._layers.append(_layer(name, module, dropouts))
            dropouts += isinstance(module, Dropout)

    def forward(
        self,
        parameters: Tensors,
        buffers: Tensors,
        inputs: torch.Tensor,
        *,
        dropout: DropoutMasks | None,
        watch: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """See `Network`."""
        state = Pass(parameters, buffers, dropout, watch)
        values = self._arranged(inputs)
        for layer in self._layers:
            values = layer(values, state)
        return values

    def _arranged(self, inputs: torch.Tensor) -> torch.Tensor:
        """The layout of the first layer; inputs that all rows share have no dimension for them."""
        is_shared = inputs.ndim == self._example_dims + 1
        if self._is_dense:
            return inputs.flatten(1 if is_shared else 2).transpose(-2, -1)
        images = inputs if is_shared else inputs.transpose(0, 1).flatten(1, 2)
        if inputs.device.type == "cpu":
            # With 16 rows a training step of two convolutions and poolings takes half as long so:
            # torch pools across the channels, and a stack has many. (`contiguous` would leave the
            # strides of images with one channel as they are, and the layout is read from those.)
            return torch.empty_like(images, memory_format=torch.channels_last).copy_(images)
        return images


def _layer(name: str, module: nn.Module, dropouts: int) -> Layer:
    """The stacked form of one module; `dropouts` dropout layers stand before it."""
    match module:
        case nn.Linear():
            return lambda values, state: _linear(name, values, state)
        case nn.Conv2d():
            return lambda values, state: _convolution(name, module, values, state)
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return lambda values, state: _batch_norm(name, module, values, state)
        case Dropout():
            return lambda values, state: _dropout(dropouts, values, state)
        case nn.ReLU():
            return _rectifier
        case nn.PReLU():
            return lambda values, state: _parametric_rectifier(name, values, state)
        case Swish():
            return lambda values, state: _swish(name, values, state)
        case nn.Flatten():
            return _flatten
        case _:  # element by element, or a pooling: they know no rows
            return lambda values, state: module(values)


def _linear(name: str, values: torch.Tensor, state: Pass) -> torch.Tensor:
    """(S, inputs, n), or (inputs, n) for all rows, to (S, outputs, n)."""
    weight = state.parameters[f"{name}.weight"]  # (S, outputs, inputs)
    bias = state.parameters.get(f"{name}.bias")
    if values.ndim == 2:  # one large product instead of S small ones
        products = torch.mm(weight.flatten(0, 1), values).view(*weight.shape[:2], -1)
        return products if bias is None else products + bias[:, :, None]
    if bias is None:
        return torch.bmm(weight, values)
    return torch.baddbmm(bias[:, :, None], weight, values)


def _convolution(name: str, module: nn.Conv2d, values: torch.Tensor, state: Pass) -> torch.Tensor:
    """(n, S * channels, h, w), or (n, channels, h, w) for all rows, to (n, S * filters, h', w')."""
    weight = state.parameters[f"{name}.weight"].flatten(0, 1)
    bias = state.parameters.get(f"{name}.bias")
    return F.conv2d(
        values,
        weight,
        None if bias is None else bias.flatten(),
        stride=module.stride,
        padding=module.padding,
        groups=values.shape[1] // module.in_channels,
    )


def _batch_norm(
    name: str, module: nn.BatchNorm1d | nn.BatchNorm2d, values: torch.Tensor, state: Pass
) -> torch.Tensor:
    """Every row's units by their own statistics; train mode moves the running ones."""
    if state.trains:
        state.buffers[f"{name}.num_batches_tracked"].add_(1)
    # (S, units, n) is one batch of S * units channels with n positions.
    channels = values if values.ndim == 4 else values.flatten(0, 1).unsqueeze(0)
    normalized = F.batch_norm(
        channels,
        state.buffers[f"{name}.running_mean"].flatten(),
        state.buffers[f"{name}.running_var"].flatten(),
        state.parameters[f"{name}.weight"].flatten(),
        state.parameters[f"{name}.bias"].flatten(),
        training=state.trains,
        momentum=module.momentum,  # type: ignore[arg-type]
        eps=module.eps,
    )
    return normalized.view(values.shape)


def _dropout(layer: int, values: torch.Tensor, state: Pass) -> torch.Tensor:
    """Single units of a dense layer, whole channels of a convolution."""
    if state.dropout is None:
        return values
    if values.ndim == 3:
        mask = state.dropout.mask(layer, values.shape[1], values.shape[2])
        return values if mask is None else values * mask
    examples, channels = values.shape[:2]
    mask = state.dropout.mask(layer, channels // state.rows, examples)
    if mask is None:
        return values
    return values * mask.permute(2, 0, 1).reshape(examples, channels, 1, 1)


def _rectifier(values: torch.Tensor, state: Pass) -> torch.Tensor:
    rectified = F.relu(values)
    if state.watch is not None:
        peaks = rectified.amax(2) if values.ndim == 3 else rectified.amax((0, 2, 3))
        state.watch.append(peaks.view(state.rows, -1) > 0)
    return rectified


def _parametric_rectifier(name: str, values: torch.Tensor, state: Pass) -> torch.Tensor:
    slope = _of_rows(state.parameters[f"{name}.weight"], values)
    return torch.where(values > 0, values, slope * values)


def _swish(name: str, values: torch.Tensor, state: Pass) -> torch.Tensor:
    return values * torch.sigmoid(_of_rows(state.parameters[f"{name}.beta"], values) * values)


def _of_rows(numbers: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """One number a row, (S,) or (S, 1), in a shape that goes with the values."""
    numbers = numbers.flatten()
    if values.ndim == 3:
        return numbers[:, None, None]
    return numbers.repeat_interleave(values.shape[1] // len(numbers))[:, None, None]


def _flatten(values: torch.Tensor, state: Pass) -> torch.Tensor:
    """(n, S * channels, h, w) to (S, channels * h * w, n)."""
    examples, _, height, width = values.shape
    images = values.reshape(examples, state.rows, -1, height, width)
    return images.permute(1, 2, 3, 4, 0).flatten(1, 3)
