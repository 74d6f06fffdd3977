"""Threads by the size of an update, kernels that repeat, and the caller's settings afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from dltune.training.arithmetic import SHARED_FLOPS, reproducible, threads_for, update_flops
from dltune.training.randomness import RandomStream

CUDNN = torch.backends.cudnn


@pytest.fixture
def three_threads() -> Iterator[None]:
    outer = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(outer)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("flops", "threads"), [(SHARED_FLOPS - 1, 1), (SHARED_FLOPS, 3)])
def test_threads_by_the_size_of_an_update(flops: int, threads: int) -> None:
    with threads_for(flops):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_the_number_comes_back_after_an_error() -> None:
    with pytest.raises(KeyError), threads_for(1):
        raise KeyError
    assert torch.get_num_threads() == 3


def test_flops_of_a_dense_layer() -> None:
    # 10 -> 5 without bias: a product is 2 * 10 * 5 flops an example, and backward takes two of them
    assert update_flops(50, batch=4) == 3 * (2 * 10 * 5) * 4


def settings() -> tuple[object, ...]:
    """What decides the kernels; torch refuses to tell some of it, depending on what was set."""

    def told(owner: object, name: str) -> object:
        try:
            return getattr(owner, name)
        except RuntimeError:
            return "refused"

    products = torch.backends.cuda.matmul
    try:
        legacy = torch.get_float32_matmul_precision()
    except RuntimeError:
        legacy = "refused"
    named = [(torch.backends, "fp32_precision"), (CUDNN, "fp32_precision")]
    for owner in (products, CUDNN.conv, CUDNN.rnn, torch.backends.mkldnn.matmul):
        named.append((owner, "fp32_precision"))
    named += [(products, "allow_tf32"), (CUDNN, "allow_tf32")]
    named += [(CUDNN, "deterministic"), (CUDNN, "benchmark")]
    return (legacy, *(told(*one) for one in named))


def has_no_tf32() -> bool:
    parts = torch.backends.cuda.matmul, CUDNN.conv, CUDNN.rnn
    return all(part.fp32_precision != "tf32" for part in parts)


# One after another, each on top of those before it.
USERS_SETTINGS = {
    "switches": [
        "pass",
        "CUDNN.benchmark = True",
        "torch.backends.cuda.matmul.allow_tf32 = True",
        "CUDNN.allow_tf32 = False",
        "torch.set_float32_matmul_precision('high')",
        "torch.set_float32_matmul_precision('medium')",
    ],
    "names": [
        "CUDNN.conv.fp32_precision = 'ieee'",
        "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
        "CUDNN.rnn.fp32_precision = 'tf32'",
        "torch.backends.fp32_precision = 'tf32'",
    ],
    "names for all": ["CUDNN.fp32_precision = 'tf32'", "torch.backends.fp32_precision = 'tf32'"],
}


def check_settings(kind: str) -> None:
    for users in USERS_SETTINGS[kind]:
        exec(users)
        before = settings()
        with reproducible(torch.device("cuda")):  # the settings are there without the device
            assert (CUDNN.deterministic, CUDNN.benchmark, has_no_tf32()) == (True, False, True)
        assert settings() == before, users
        for other in ("cpu", "mps"):
            with reproducible(torch.device(other)):
                assert settings() == before, users


@pytest.mark.slow
def test_kernels_repeat_inside_and_settings_are_the_callers_outside() -> None:
    """In processes of their own: torch has no way back to settings that nobody has touched."""
    program = "from tests.training.test_arithmetic import check_settings as check; check({!r})"
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program.format(kind)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for kind in USERS_SETTINGS
    ]
    assert [one.communicate()[1] for one in started] == [""] * len(started)


def test_settings_come_back_after_an_error() -> None:
    before = settings()
    with pytest.raises(KeyError), reproducible(torch.device("cuda")):
        raise KeyError
    assert settings() == before


def test_what_was_not_set_by_tf32s_newer_names_can_still_be_read() -> None:
    """A user's model may use `torch.backends.cudnn.flags`, which reads the older switch."""
    with reproducible(torch.device("cuda")), CUDNN.flags(enabled=False):
        assert not CUDNN.enabled


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_trials_turn_on_cuda_repeats() -> None:
    before, stream = settings(), RandomStream(0, torch.device("cuda"))
    images = torch.rand(8, 3, 32, 32, device="cuda")
    layer = torch.nn.Conv2d(3, 16, 3).to("cuda")
    with stream.active():
        assert CUDNN.deterministic
        gradients = [
            torch.autograd.grad(layer(images).square().sum(), layer.weight)[0] for _ in range(2)
        ]
        exact = torch.nn.functional.conv2d(images.double(), layer.weight.double())
        found = torch.nn.functional.conv2d(images, layer.weight)
    assert torch.equal(*gradients)
    # TF32's unit is 2^-11, float32's 2^-24; a sum of 27 products is between.
    assert (found - exact).abs().max() < 2.0**-18 * exact.abs().max()
    assert settings() == before
