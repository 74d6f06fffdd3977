"""Real sweeps of iris at two batch sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dltune.lr.batch.scale import LrVerdict, scale_lr
from dltune.lr.batch.sweeps import check_by_sweeps
from dltune.lr.find import find_lr
from dltune.recipe.files import parse_recipe
from dltune.recipe.schema import Config

HERE = Path()


def config(**train: Any) -> Config:
    lines = [f"train.{key} = {value}" for key, value in train.items()]
    head = 'data.source = "sklearn:iris"\nmodel.hidden = [16]\ntrain.device = "cpu"\n'
    return parse_recipe(head + "\n".join(lines), folder=HERE).config()


def test_the_sweeps_are_those_of_lr_find() -> None:
    scaled = scale_lr(0.01, before=16, after=64, rule="sqrt")
    seen: list[int] = []
    check = check_by_sweeps(config(), scaled, before=16, after=64, folder=HERE, watch=seen.append)
    assert seen == [16, 64]
    for swept in (check.before, check.after):
        assert swept is not None
        found = find_lr(config(batch_size=swept.batch), folder=HERE).suggestion
        assert (swept.suggestion, swept.edge) == (found.suggestion, found.edge)
        assert swept.status == "ok"


@pytest.mark.parametrize(("lr", "verdict"), [(1e-6, LrVerdict.LOW), (1e3, LrVerdict.ABOVE_EDGE)])
def test_rates_that_no_sweep_supports(lr: float, verdict: LrVerdict) -> None:
    scaled = scale_lr(lr, before=16, after=64, rule="sqrt")
    check = check_by_sweeps(config(), scaled, before=None, after=64, folder=HERE)
    assert check.verdict is verdict
    assert check.after is not None
    assert check.rate == check.after.suggestion
    assert check.before is None


def test_a_batch_that_stays_is_swept_once() -> None:
    scaled = scale_lr(0.01, before=32, after=32, rule="sqrt")
    seen: list[int] = []
    check = check_by_sweeps(config(), scaled, before=32, after=32, folder=HERE, watch=seen.append)
    assert seen == [32]
    assert check.before == check.after


def test_a_sweep_that_runs_out_of_memory_supports_no_rate(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        if self.training: torch.empty(10**15)\n"
        "        return super().forward(x)\n"
        "def build(inputs, outputs):\n    return Net(*inputs, outputs)\n"
    )
    text = 'data.source = "sklearn:iris"\nmodel.factory = "net.py:build"\ntrain.device = "cpu"\n'
    made = parse_recipe(text, folder=tmp_path).config()
    scaled = scale_lr(0.01, before=16, after=64, rule="sqrt")
    check = check_by_sweeps(made, scaled, before=None, after=64, folder=tmp_path)
    assert check.verdict is LrVerdict.UNCLEAR
    assert check.after is not None
    assert check.after.status.startswith("the sweep ran out of memory")
