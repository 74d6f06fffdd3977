"""Models from a user's own factory: how it is called, and what it may get wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dltune.errors import DltuneError, ModelError
from dltune.models.build import build_model
from dltune.recipe.schema import CnnConfig, FactoryConfig, MlpConfig


def write_factory(folder: Path, body: str) -> None:
    (folder / "net.py").write_text(
        f"import torch\nfrom torch import nn\n\ndef build(inputs, outputs, width=4):\n{body}\n"
    )


def build(folder: Path, **extras: int) -> torch.nn.Module:
    return build_model(
        FactoryConfig(factory="net.py:build", **extras), inputs=(3,), outputs=2, folder=folder
    )


def test_factory_gets_inputs_outputs_and_the_other_values(tmp_path: Path) -> None:
    write_factory(
        tmp_path,
        "    layers = [nn.Linear(inputs[0], width), nn.ReLU(), nn.Linear(width, outputs)]\n"
        "    return nn.Sequential(*layers)",
    )
    model = build(tmp_path, width=7)
    assert model[0].weight.shape == (7, 3)
    assert model[2].weight.shape == (2, 7)
    assert model.training


def test_lazy_modules_are_settled(tmp_path: Path) -> None:
    write_factory(tmp_path, "    return nn.LazyLinear(outputs)")
    assert build(tmp_path).weight.shape == (2, 3)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            "    raise ValueError('width must be even')",
            "model.factory = 'net.py:build' raised ValueError: width must be even (NET, line 5)\n"
            "It was called as build(inputs=(3,), outputs=2, width=3).",
            id="raises",
        ),
        pytest.param(
            "    return inner()\n\ndef inner():\n    raise ValueError('deeper')",
            "model.factory = 'net.py:build' raised ValueError: deeper (NET, line 8)\n"
            "It was called as build(inputs=(3,), outputs=2, width=3).",
            id="raises below",
        ),
        pytest.param(
            "    return [1]",
            "model.factory = 'net.py:build' returned a list: a torch.nn.Module is needed "
            "(NET, line 4)",
            id="no module",
        ),
        pytest.param(
            "    return nn.Linear(3, 5)",
            "the model of 'net.py:build' maps (2, 3) to (2, 5): "
            "the output must be a tensor of shape (2, 2) (NET, line 4)",
            id="wrong shape",
        ),
        pytest.param(
            "    return nn.Flatten(0, 0)",
            "the model of 'net.py:build' maps (2, 3) to (2, 3): "
            "the output must be a tensor of shape (2, 2) (NET, line 4)",
            id="same shape",
        ),
        pytest.param(
            "    return nn.Linear(4, 2)",
            "the model of 'net.py:build' raised RuntimeError on a batch of shape (2, 3): "
            "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x2) (NET, line 4)",
            id="a forward of torch's raises",
        ),
        pytest.param(
            "    return Own()\n\nclass Own(nn.Module):\n"
            "    def forward(self, x):\n        return x.no",
            "the model of 'net.py:build' raised AttributeError on a batch of shape (2, 3): "
            "'Tensor' object has no attribute 'no' (NET, line 9)",
            id="a forward of the user's raises",
        ),
        pytest.param(
            "    return Own()\n\nclass Own(nn.Module):\n"
            "    def forward(self, x):\n        return 1",
            "the model of 'net.py:build' maps (2, 3) to int: "
            "the output must be a tensor of shape (2, 2) (NET, line 7)",
            id="an own class with another output",
        ),
        pytest.param(
            "    return nn.AdaptiveAvgPool1d(2)",
            "the model of 'net.py:build' has no trainable parameters (NET, line 4)",
            id="nothing to train",
        ),
    ],
)
def test_what_a_factory_may_get_wrong(tmp_path: Path, body: str, message: str) -> None:
    write_factory(tmp_path, body)
    with pytest.raises(ModelError) as caught:
        build(tmp_path, width=3)
    assert str(caught.value) == message.replace("NET", str(tmp_path / "net.py"))


def test_arguments_that_do_not_fit_lead_to_the_function(tmp_path: Path) -> None:
    write_factory(tmp_path, "    return nn.Linear(inputs[0], outputs)")
    with pytest.raises(ModelError) as caught:
        build(tmp_path, widht=3)
    place = f"({tmp_path / 'net.py'}, line 4)"
    assert "unexpected keyword argument 'widht'" in caught.value.found
    assert caught.value.found.endswith(place)


def test_a_factory_that_keeps_its_module_is_refused(tmp_path: Path) -> None:
    """The second trial would begin with the weights that the first one trained."""
    write_factory(tmp_path, "    return KEPT")
    with (tmp_path / "net.py").open("a") as file:
        file.write("\nKEPT = nn.Linear(3, 2)\n")
    build(tmp_path)
    with pytest.raises(ModelError) as caught:
        build(tmp_path)
    assert str(caught.value) == (
        "model.factory = 'net.py:build' returned the same module as before: every trial needs a "
        f"fresh one ({tmp_path / 'net.py'}, line 4)\n"
        "Construct the module inside the function, and do not keep it."
    )


def test_factory_that_is_no_function(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("build = 3\n")
    with pytest.raises(ModelError, match=r"'net.py:build' is a int: a function is needed"):
        build(tmp_path)


def test_missing_function_names_the_closest(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def built():\n    pass\n")
    with pytest.raises(DltuneError, match="built"):
        build(tmp_path)


def test_built_in_models_by_name() -> None:
    mlp = build_model(MlpConfig(hidden=[5]), inputs=(3,), outputs=2, folder=Path())
    cnn = build_model(CnnConfig(filters=[3]), inputs=(1, 8, 8), outputs=2, folder=Path())
    assert mlp(torch.zeros(1, 3)).shape == cnn(torch.zeros(1, 1, 8, 8)).shape == (1, 2)
