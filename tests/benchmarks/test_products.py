"""The counted products against torch's own counter of floating-point operations."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.products import Product, Products, limit_seconds, products_of

PERCEPTRON = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
CONVOLUTIONS = nn.Sequential(
    nn.Conv2d(1, 4, 3, padding=1),
    nn.MaxPool2d(2),
    nn.Conv2d(4, 6, 3, padding="same"),
    nn.Flatten(),
    nn.Linear(6 * 4 * 4, 10),
)
BATCH = 7


def flops(products: tuple[Product, ...]) -> int:
    return sum(product.flops for product in products)


def test_a_perceptron_by_hand() -> None:
    products: Products = products_of(PERCEPTRON, (64,), batch=BATCH)
    assert flops(products.forward) == 2 * BATCH * (64 * 32 + 32 * 10)
    # The gradient of the first layer's inputs is not needed.
    assert flops(products.backward) == flops(products.forward) + 2 * BATCH * 32 * 10
    assert products.update == products.forward + products.backward


@pytest.mark.parametrize("model", [PERCEPTRON, CONVOLUTIONS], ids=["dense", "convolutions"])
def test_torch_counts_the_same(model: nn.Module) -> None:
    products = products_of(model, (1, 8, 8), batch=BATCH)
    with FlopCounterMode(display=False) as forward:
        outputs = model(torch.zeros(BATCH, 1, 8, 8))
    with FlopCounterMode(display=False) as backward:
        cross_entropy(outputs, torch.zeros(BATCH, dtype=torch.int64)).backward()
    assert flops(products.forward) == forward.get_total_flops()
    assert flops(products.backward) == backward.get_total_flops()


def test_the_limit_takes_the_fastest_stack_of_each_product() -> None:
    products = [Product(rows=2, inner=3, columns=4)]
    both = limit_seconds(products, [1, 16])
    assert 0 < both == min(limit_seconds(products, [1]), limit_seconds(products, [16]))
