"""What is seen before a study begins: mistakes of all its trials, and not those of some."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dltune.errors import DltuneError, ModelError, TrainingError
from dltune.recipe.files import load_recipe, parse_recipe
from dltune.recipe.recipe import Recipe
from dltune.runs.run import load_run
from dltune.search.events import Ending, StudyEnd
from dltune.search.preflight import DRAWS, some_configs
from dltune.search.study import run_study
from tests.search.recipes import small

RECIPE = """\
data.source = "sklearn:wine"
model.factory = "own/net.py:build"
model.width = WIDTH
optim.lr = {log = [1e-3, 1e-1], points = 2}
train.epochs = 1
train.device = "cpu"
"""
GOOD = """\
from torch import nn
def build(inputs, outputs, width):
    return nn.Linear(inputs[0], outputs)
"""
HOW = [
    pytest.param({"workers": 1, "stack": "off"}, id="in process"),
    pytest.param({"workers": 2, "stack": "auto"}, id="two workers"),
]
ABSENT = "cuda" if sys.platform == "darwin" else "mps"  # no machine has both
CALL = "It was called as build(inputs=(13,), outputs=3, width=16)."


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "net.py").write_text(GOOD)
    return tmp_path


def recipe(width: object = 16, *overrides: str) -> Recipe:
    Path("own.toml").write_text(RECIPE.replace("WIDTH", str(width)))
    return load_recipe("own.toml", overrides=overrides)


def search(made: Recipe, **how: Any) -> StudyEnd:
    return run_study(made, path=Path("runs/own"), strategy="grid", **how)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("old", "new", "found", "hint"),
    [
        pytest.param(
            "width)",
            "widht)",
            "model.factory = 'own/net.py:build' raised TypeError: build() got an unexpected "
            "keyword argument 'width' (NET, line 2)",
            CALL,
            id="an argument",
        ),
        pytest.param(
            "nn.Linear(inputs[0], outputs)",
            "nn.Linear(inputs[0], 7)",
            "the model of 'own/net.py:build' maps (2, 13) to (2, 7): the output must be a tensor "
            "of shape (2, 3) (NET, line 2)",
            "",
            id="an output",
        ),
        pytest.param(
            "nn.Linear(inputs[0], outputs)",
            "None",
            "model.factory = 'own/net.py:build' returned a NoneType: a torch.nn.Module is needed "
            "(NET, line 2)",
            "",
            id="no module",
        ),
        pytest.param(
            "return nn.Linear(inputs[0], outputs)",
            "return KEPT\nKEPT = nn.Linear(13, 3)",
            "model.factory = 'own/net.py:build' returned the same module as before: every trial "
            "needs a fresh one (NET, line 2)",
            "Construct the module inside the function, and do not keep it.",
            id="the same module",
        ),
        pytest.param(
            "return nn.Linear(inputs[0], outputs)",
            "return nn.Linear(inputs[0] / 0, outputs)",
            "model.factory = 'own/net.py:build' raised ZeroDivisionError: division by zero "
            "(NET, line 3)",
            CALL,
            id="it raises",
        ),
    ],
)
def test_what_every_trial_would_get_wrong_is_a_mistake(
    place: Path, how: dict[str, Any], old: str, new: str, found: str, hint: str
) -> None:
    net = place / "own" / "net.py"
    net.write_text(GOOD.replace(old, new))
    with pytest.raises(ModelError) as mistake:
        search(recipe(), **how)
    # Workers are forked from a server that was started in another working folder.
    said = mistake.value.found.replace(str(net), "NET").replace("own/net.py, ", "NET, ")
    assert (said, mistake.value.hint) == (found, hint)
    assert not Path("runs").exists()


@pytest.mark.parametrize("how", HOW)
def test_what_some_trials_get_wrong_fails_them(place: Path, how: dict[str, Any]) -> None:
    (place / "own" / "net.py").write_text(GOOD.replace("outputs)\n", "outputs * (width // width))"))
    end = search(recipe("{choice = ['x', 16]}"), **how)
    assert end.ending is Ending.COMPLETE
    assert [one.state for one in end.trials] == ["failed", "failed", "complete", "complete"]
    for one in end.trials[:2]:
        assert one.reason.startswith("model: model.factory = '../../own/net.py:build' raised Type")
        assert one.reason.endswith("net.py, line 3)")


@pytest.mark.parametrize("how", HOW)
def test_factories_of_which_one_is_missing(place: Path, how: dict[str, Any]) -> None:
    typed = "model.factory={choice = ['own/net.py:biuld', 'own/net.py:build']}"
    end = search(recipe(16, typed), **how)
    assert [one.state for one in end.trials] == ["failed", "failed", "complete", "complete"]
    assert "net.py has no biuld; did you mean build?" in end.trials[0].reason


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("override", "said"),
    [
        (f"train.device={ABSENT}", f"train.device = '{ABSENT}': torch"),
        ("objective.loss=huber", 'objective.loss = "huber" is for regression'),
    ],
)
def test_settings_that_no_trial_can_have(
    place: Path, how: dict[str, Any], override: str, said: str
) -> None:
    with pytest.raises(TrainingError) as mistake:
        search(small(override), **how)
    assert mistake.value.found.startswith(said)
    assert mistake.value.hint.startswith("Try --")
    assert not Path("runs").exists()


@pytest.mark.parametrize("device", ["auto", "mps"])
def test_apples_gpu_has_no_float64(
    place: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told before anything is trained, also where only a process with torch knows what auto is."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    made = parse_recipe(
        'data.source = "sklearn:wine"\noptim.lr = { log = [1e-4, 1e-1] }\n'
        f'train.device = "{device}"\ntrain.precision = "float64"',
        folder=place,
    )
    with pytest.raises(TrainingError) as mistake:
        run_study(made, path=Path("runs/own"), strategy="random", trials=1, workers=1)
    assert str(mistake.value) == (
        "train.precision = 'float64': Apple's GPU (mps) has no such numbers\n"
        "Try --device cpu, or --set train.precision=float32."
    )
    assert not Path("runs").exists()


@pytest.mark.parametrize("how", HOW)
def test_a_mistake_that_has_come_in_leaves_a_resumed_run_as_it_was(
    place: Path, how: dict[str, Any]
) -> None:
    search(recipe(), trials=1, **how)
    before = (place / "runs/own/study.journal").read_bytes()
    (place / "own" / "net.py").write_text(GOOD.replace("width)", "wide)"))
    with pytest.raises(DltuneError, match="unexpected keyword argument 'width'"):
        run_study(None, path=Path("runs/own"), resume=True, trials=2, accept_changes=True, **how)
    assert (place / "runs/own/study.journal").read_bytes() == before
    (place / "own" / "net.py").write_text(GOOD)
    assert run_study(None, path=Path("runs/own"), resume=True, trials=2, **how).trained == 1


def test_a_factory_that_ends_its_process_is_seen_in_the_trials(place: Path) -> None:
    """Nobody can tell before, as the worker that is asked is gone."""
    (place / "own" / "net.py").write_text("import os\ndef build(**all): os._exit(5)\n")
    end = search(recipe(), workers=2, stack="off")
    assert [one.reason for one in end.trials] == ["worker exited (code 5)"] * 2
    assert load_run(end.path).states == {"failed": 2}


def test_configs_to_look_at_have_every_option(place: Path) -> None:
    made = recipe(f"{{choice = {list(range(1, 200))}}}")
    widths = [one.model.arguments()["width"] for one in some_configs(made, 0)]  # type: ignore[union-attr]
    assert len(widths) > DRAWS
    assert set(widths) == set(range(1, 200))
