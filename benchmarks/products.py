"""The matrix products that an update of a network cannot do without, and how fast they can be.

A dense layer with n examples is (n, in) x (in, out) forward; backward the gradient of its weights
is (out, n) x (n, in) and, but for the first layer, that of its inputs (n, out) x (out, in). A
convolution is the same with in = channels x kernel^2 and a row for every pixel of every example.
A product (m, k) x (k, n) takes 2 m k n floating-point operations. Bias, activation, dropout, loss
and optimizer are left out: they are what a limit leaves out.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.utils.benchmark import Timer

# Long enough for a median over many products, short enough for some hundred measurements.
TIMED_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Product:
    """(rows, inner) x (inner, columns)."""

    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.rows * self.inner * self.columns


@dataclasses.dataclass(frozen=True, kw_only=True)
class Products:
    """Those of one batch: the forward pass, and the backward pass in addition."""

    forward: tuple[Product, ...]
    backward: tuple[Product, ...]

    @property
    def update(self) -> tuple[Product, ...]:
        """Both passes."""
        return self.forward + self.backward


def products_of(model: nn.Module, inputs: Sequence[int], *, batch: int) -> Products:
    """The products of a network of dense layers and convolutions without groups.

    inputs  shape of one example.
    """
    forward: list[Product] = []

    def see(layer: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(layer, nn.Linear):
            inner, outputs = layer.in_features, layer.out_features
        else:
            assert isinstance(layer, nn.Conv2d)
            assert layer.groups == 1
            inner, outputs = layer.weight[0].numel(), layer.out_channels
        rows = output.numel() // outputs
        forward.append(Product(rows=rows, inner=inner, columns=outputs))

    layers = [one for one in model.modules() if isinstance(one, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_hook(see) for layer in layers]
    with torch.no_grad():
        model(torch.zeros(batch, *inputs))
    for hook in hooks:
        hook.remove()
    of_weights = [Product(rows=one.columns, inner=one.rows, columns=one.inner) for one in forward]
    of_inputs = [
        Product(rows=one.rows, inner=one.columns, columns=one.inner) for one in forward[1:]
    ]
    return Products(forward=tuple(forward), backward=(*of_weights, *of_inputs))


@functools.cache
def seconds(product: Product, stack: int) -> float:
    """Of one product out of `stack` at once with `torch.bmm`, by the median of many calls."""
    left = torch.randn(stack, product.rows, product.inner)
    right = torch.randn(stack, product.inner, product.columns)
    out = torch.empty(stack, product.rows, product.columns)
    timer = Timer(
        "torch.bmm(left, right, out=out)",
        globals={"torch": torch, "left": left, "right": right, "out": out},
        num_threads=torch.get_num_threads(),
    )
    return float(timer.blocked_autorange(min_run_time=TIMED_SECONDS).median) / stack


def limit_seconds(products: Iterable[Product], stacks: Iterable[int]) -> float:
    """Of the products of one trial, each at the stack size where it is fastest."""
    sizes = list(stacks)
    return sum(min(seconds(product, size) for size in sizes) for product in products)
