"""The edits of the command line."""

from __future__ import annotations

import pytest

from dltune.cli.options import edits_of


@pytest.mark.parametrize(
    ("overrides", "device", "seed", "expected"),
    [
        pytest.param(None, None, None, [], id="nothing"),
        pytest.param(["optim.lr=1"], None, None, ["optim.lr=1"], id="an override"),
        pytest.param(None, "cpu", None, ["train.device=cpu"], id="a device"),
        pytest.param(None, None, 0, ["train.seed=0"], id="the seed 0"),
        pytest.param(
            ["train.seed=1", "train.device=cuda"],
            "cpu",
            2,
            ["train.seed=1", "train.device=cuda", "train.device=cpu", "train.seed=2"],
            id="options of their own come last, and so win",
        ),
    ],
)
def test_edits(
    overrides: list[str] | None, device: str | None, seed: int | None, expected: list[str]
) -> None:
    assert edits_of(overrides, device=device, seed=seed) == expected


def test_what_was_typed_is_not_changed() -> None:
    typed = ["optim.lr=1"]
    edits_of(typed, device="cpu", seed=3)
    assert typed == ["optim.lr=1"]
