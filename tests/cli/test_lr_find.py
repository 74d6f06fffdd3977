from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dltune.cli import lr_find as command
from dltune.cli.main import main
from dltune.lr.find import DEFAULT_RANGES

RECIPE = """\
# Wine, a small network.
[data]
source = "sklearn:wine"  # bundled

[model]
hidden = [16]
dropout = { uniform = [0.0, 0.5] }  # searched

[optim]
name = "adam"
# The rate to find.
lr = { log = [1e-4, 1e-1] }  # as in the paper

[train]
device = "cpu"
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "wine.toml"
    path.write_text(RECIPE)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["lr-find", "wine.toml", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_plot_on_stdout_and_advice_on_stderr(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys)
    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].strip() == "train loss: · one batch, line smoothed"
    for start in ("L suggestion", "S steepest", "M minimum", "E edge"):
        assert sum(line.startswith(start) for line in lines) == 1
    assert err.splitlines() == [
        "ranges stand at their middle: model.dropout 0.25 (--set fixes another value)",
        "task: classification, as sklearn:wine is meant",
        "wine: 178 examples; train 106, dev 36, test 36 (stratified, seed 0)",
        err.splitlines()[3],
        "wrote lr_find.csv",
        "next: dltune lr-find wine.toml --apply  (write it into the recipe)",
    ]
    assert err.splitlines()[3].startswith("stopped at ")
    assert recipe.read_text() == RECIPE


def test_json_csv_and_plot_agree(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--json", "--csv", "curve.csv", "--plot", "curve.png")
    document = json.loads(out)
    assert code == 0
    assert {"suggestion", "edge", "steepest", "minimum", "status", "reason"} <= set(document)
    assert document["status"] == "ok"
    assert document["suggestion"] <= document["edge"] / 6 * 1.05  # rounded to two digits
    assert document["ranges_at_middle"] == {"model.dropout": 0.25}
    assert (document["csv"], document["plot"]) == ("curve.csv", "curve.png")
    assert document["applied"] is None
    assert len(Path("curve.csv").read_text().splitlines()) == 1 + document["losses"]
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "wrote curve.csv and curve.png" in err
    assert not Path("lr_find.csv").exists()


def test_the_command_gives_the_same_again(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, again = (run(capsys, "--json", "--seed", "7")[1] for _ in range(2))
    assert first == again
    assert json.loads(first)["seed"] == 7
    assert run(capsys, "--json", "--seed", "8")[1] != first


def test_apply_writes_the_suggestion_and_keeps_comments(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "--apply", "--json")
    document = json.loads(out)
    suggestion = document["suggestion"]
    assert code == 0
    assert document["applied"] == {
        "path": "wine.toml",
        "before": {"log": [1e-4, 1e-1]},
        "after": suggestion,
    }
    text = recipe.read_text()
    assert tomllib.loads(text)["optim"]["lr"] == suggestion
    changed = [
        (old, new)
        for old, new in zip(RECIPE.splitlines(), text.splitlines(), strict=True)
        if old != new
    ]
    assert len(changed) == 1
    assert changed[0][1].endswith("  # as in the paper")
    assert f"wine.toml: optim.lr {{log = [0.0001, 0.1]}} → {suggestion}" in err
    assert err.splitlines()[-1] == (
        "next: dltune search wine.toml --trials 32  (search the other ranges with it)"
    )


def test_apply_adds_a_rate_that_was_unset(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.write_text('[data]\nsource = "sklearn:wine"\n[train]\ndevice = "cpu"\n')
    code, out, err = run(capsys, "--apply", "--json")
    suggestion = json.loads(out)["suggestion"]
    assert code == 0
    assert tomllib.loads(recipe.read_text())["optim"]["lr"] == suggestion
    assert f"wine.toml: optim.lr unset → {suggestion}" in err
    assert err.splitlines()[-1] == "next: dltune train wine.toml  (train with it)"


def test_a_refusal_has_null_and_exit_code_1(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "--max-lr", "1e-4", "--apply", "--json")
    document = json.loads(out)
    assert code == 1
    assert document["suggestion"] is None
    assert document["status"] in ("falling", "flat")
    assert document["reason"]
    assert document["applied"] is None
    assert recipe.read_text() == RECIPE
    assert err.splitlines()[-1].startswith("next: dltune lr-find wine.toml --")
    code, out, _ = run(capsys, "--max-lr", "1e-4")
    assert code == 1
    assert f"no suggestion ({document['status']}): " in out


def test_set_fixes_a_range(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = run(
        capsys, "--set", "model.dropout=0", "--json", "--steps", "60", "--min-lr", "1e-6"
    )
    document = json.loads(out)
    assert document["ranges_at_middle"] == {}
    assert "middle" not in err
    assert (document["low"], document["high"], document["steps"]) == (1e-6, 10.0, 60)


def test_a_suggestion_outside_the_recipes_range_is_said(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, err = run(capsys, "--space", "optim.lr=log:1e-6:1e-5")
    said = "the suggestion lies outside the recipe's range optim.lr = {log = [1e-06, 1e-05]}"
    assert said in err.splitlines()
    assert "outside" not in run(capsys, "--space", "optim.lr=log:1e-6:1")[2]


MISTAKES = [
    pytest.param(
        ["--plot", "curve.pdf"],
        "--plot curve.pdf: the plot is a PNG, so its name must end in .png",
        "Try --plot curve.png.",
        id="not a png",
    ),
    pytest.param(
        ["--csv", "nowhere/curve.csv"],
        "--csv nowhere/curve.csv: there is no folder nowhere",
        "Create it with mkdir -p nowhere.",
        id="no folder",
    ),
    pytest.param(
        ["--csv", "."],
        "--csv . is a folder: a file is needed",
        "Try --csv lr_find.csv.",
        id="a folder",
    ),
    pytest.param(
        ["--steps", "10"],
        "a sweep of 10 steps has too few points for a slope: at least 20 are needed",
        "Try --steps 200.",
        id="few steps",
    ),
    pytest.param(
        ["--min-lr", "1", "--max-lr", "0.1"],
        "the sweep goes from learning rate 1 to 0.1: 0 < lowest < highest must hold, both finite",
        "Try --min-lr 1e-6 --max-lr 10.",
        id="swapped range",
    ),
    pytest.param(
        ["--apply", "--space", "optim.name=choice:sgd:adam"],
        "--apply: optim.name is a choice, but a learning rate suits one optimizer",
        "Leave --apply out, or put one optimizer into the recipe.",
        id="several optimizers",
    ),
]


@pytest.mark.parametrize(("arguments", "found", "hint"), MISTAKES)
def test_mistakes_are_two_calm_lines(
    recipe: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    found: str,
    hint: str,
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.splitlines()[-2:] == [f"error: {found}", hint]
    assert not Path("lr_find.csv").exists()


def test_the_help_tells_the_ranges_that_there_are() -> None:
    for text, place in ((command.FIRST, 0), (command.LAST, 1)):
        usual, *others = text.split("; ")
        told = dict.fromkeys(DEFAULT_RANGES, float(usual))
        for other in others:
            rate, names = other.split(" for ")
            told |= dict.fromkeys(names.split(", "), float(rate))
        assert told == {name: pair[place] for name, pair in DEFAULT_RANGES.items()}


def test_the_module_imports_nothing_heavy() -> None:
    """Help and completion import it, whatever command they are for."""
    program = (
        "import sys, dltune.cli.lr_find;"
        "print({'torch', 'numpy', 'scipy', 'plotext', 'matplotlib', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "set()\n"


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lr-find", "--help"]) == 0
    out = capsys.readouterr().out
    assert "Example: dltune lr-find recipes/digits-mlp.toml --plot lr_find.png" in out
    assert "[default: 200]" in out
