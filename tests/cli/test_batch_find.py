from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dltune.cli.main import main

RECIPE = """\
# Wine, a small network.
[data]
source = "sklearn:wine"  # bundled

[model]
hidden = [16]
dropout = { uniform = [0.0, 0.5] }  # searched

[optim]
name = "adam"
lr = 0.01  # found at 32

[train]
batch_size = 32  # a guess
device = "cpu"
"""
NOTES = [
    "ranges stand at their middle: model.dropout 0.25 (--set fixes another value)",
    "task: classification, as sklearn:wine is meant",
    "wine: 178 examples; train 106, dev 36, test 36 (stratified, seed 0)",
    "wrote batch_find.csv",
]
# Weights, gradients and two moments of 13-16-3 in float32; its mask is a factor a value.
FIXED = 4 * 4 * (14 * 16 + 17 * 3)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "wine.toml"
    path.write_text(RECIPE)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["batch-find", "wine.toml", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def changed_lines(text: str) -> list[str]:
    pairs = zip(RECIPE.splitlines(), text.splitlines(), strict=True)
    return [new for old, new in pairs if old != new]


@pytest.mark.slow
def test_table_on_stdout_and_advice_on_stderr(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "--max-batch", "64")
    lines = out.splitlines()
    assert code in (0, 1)  # which batch is fastest, and so what is swept, is a matter of time
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[2:6]] == ["8", "16", "32", "64"]
    assert [line.split()[1] for line in lines[2:6]] == ["14", "7", "4", "2"]
    names = [line.split("  ")[0] for line in lines[7:]]
    assert [name for name in names if name in ("memory", "largest", "recommended")] == [
        "memory",
        "largest",
        "recommended",
    ]
    assert any(line.startswith("sweep at ") for line in lines)
    assert err.splitlines()[:-1] == NOTES
    assert err.splitlines()[-1].startswith("next: dltune lr-find wine.toml --set train.batch_size=")
    assert recipe.read_text() == RECIPE


def test_json_and_csv_agree(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--json", "--no-sweep", "--csv", "table.csv", "--seed", "7")
    document = json.loads(out)
    assert code == 0
    assert [row["batch"] for row in document["batches"]] == [8, 16, 32, 64, 106]
    assert (document["largest"], document["end"]) == (106, "train-split")
    assert document["recommended"] in (8, 16, 32, 64, 106)
    assert (document["verdict"], document["sweeps"]) == ("unchecked", None)
    assert document["ranges_at_middle"] == {"model.dropout": 0.25}
    assert (document["seed"], document["csv"], document["applied"]) == (7, "table.csv", None)
    rows = Path("table.csv").read_text().splitlines()
    assert len(rows) == 1 + 5
    assert rows[1].split(",")[3] == repr(document["batches"][0]["microseconds"])
    assert not Path("batch_find.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "rule", "rate"),
    [
        pytest.param([], "sqrt", 0.02, id="adam"),
        pytest.param(["--scale", "linear"], "linear", 0.04, id="linear"),
        pytest.param(["--lr", "0.1"], "sqrt", 0.2, id="another rate"),
        pytest.param(["--set", "optim.name=sgd"], "linear", 0.04, id="sgd"),
        pytest.param(
            ["--set", "optim.name=sgd", "--scale", "sqrt"], "sqrt", 0.02, id="square root"
        ),
    ],
)
def test_the_rate_from_the_recipes_own_batch(
    recipe: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    rule: str,
    rate: float,
) -> None:
    """From 16 to 64: nothing else is tried."""
    sizes = ["--set", "train.batch_size=16", "--min-batch", "64", "--max-batch", "64"]
    code, out, _ = run(capsys, "--json", "--no-sweep", *sizes, *arguments)
    document = json.loads(out)
    assert code == 0
    assert (document["recommended"], document["lr"]) == (64, rate)
    assert (document["scaling"]["rule"], document["scaling"]["factor"]) == (rule, 4.0)


@pytest.mark.slow
def test_sweeps_contradict_a_rate_that_is_far_off(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--min-batch", "64", "--max-batch", "64"]
    code, out, _ = run(capsys, "--json", "--lr", "1e-7", *sizes)
    document = json.loads(out)
    after = document["sweeps"]["after"]
    assert (code, document["verdict"]) == (1, "low")
    assert document["lr"] == after["suggestion"]
    assert (document["sweeps"]["before"]["batch"], after["batch"]) == (32, 64)
    code, out, _ = run(capsys, "--json", "--lr", str(after["suggestion"] / 2**0.5), *sizes)
    assert (code, json.loads(out)["verdict"]) == (0, "confirmed")


def test_apply_writes_both_and_keeps_comments(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--min-batch", "64", "--max-batch", "64"]
    code, out, err = run(capsys, "--apply", "--no-sweep", "--json", *sizes)
    assert code == 0
    assert json.loads(out)["applied"] == {
        "path": "wine.toml",
        "before": {"train.batch_size": 32, "optim.lr": 0.01},
        "after": {"train.batch_size": 64, "optim.lr": 0.014},
    }
    table = tomllib.loads(recipe.read_text())
    assert (table["train"]["batch_size"], table["optim"]["lr"]) == (64, 0.014)
    assert changed_lines(recipe.read_text()) == [
        "lr = 0.014  # found at 32",
        "batch_size = 64  # a guess",
    ]
    assert err.splitlines()[-2:] == [
        "wine.toml: train.batch_size 32 → 64, optim.lr 0.01 → 0.014",
        "next: dltune search wine.toml --trials 32  (search the ranges with them)",
    ]


def test_apply_adds_what_was_unset(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.write_text('[data]\nsource = "sklearn:wine"\n[train]\ndevice = "cpu"\n')
    _, _, err = run(capsys, "--apply", "--no-sweep", "--min-batch", "16", "--max-batch", "16")
    table = tomllib.loads(recipe.read_text())
    assert (table["train"]["batch_size"], table["optim"]["lr"]) == (16, 0.0005)
    assert err.splitlines()[-2:] == [
        "wine.toml: train.batch_size unset → 16, optim.lr unset → 0.0005",
        "next: dltune train wine.toml  (train with them)",
    ]


def test_nothing_is_written_without_a_rate(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "--apply", "--memory", "1e-9")
    assert code == 1
    assert (
        "nothing was written: there is no batch size with a rate that a sweep supports"
        in err.splitlines()
    )
    assert recipe.read_text() == RECIPE


def test_a_limit_of_memory_ends_it_and_says_so(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without dropout an example saves 13 + 16 + 3 values and its class."""
    plain = ["--no-sweep", "--set", "model.dropout=0"]
    limit = FIXED + 16 * (4 * 32 + 8) + 20
    code, out, err = run(capsys, "--memory", str(limit / 1e9), *plain)
    assert code == 0
    (largest,) = [line for line in out.splitlines() if line.startswith("largest")]
    assert largest == "largest        16: 24 would take 7.67 kB, over 6.6 kB, what --memory allows"
    assert err.splitlines()[-2] == (
        "the recipe's batch of 32 does not fit: --set train.batch_size=16 "
        "--set train.accumulate=2 makes updates of as many examples, for its own rate"
    )


def test_not_even_the_smallest_batch(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--memory", "1e-6", "--set", "model.dropout=0")
    assert code == 1
    assert out == (
        "not even the smallest batch fits: 8 would take 5.5 kB, over 1 kB, what --memory\nallows\n"
    )
    assert err.splitlines()[-1] == (
        "next: dltune batch-find wine.toml --set model.dropout=0 --memory 1e-06 --min-batch 1 "
        "--max-batch 8  (smaller batches)"
    )
    code, out, err = run(capsys, "--memory", "1e-6", "--min-batch", "1", "--json")
    document = json.loads(out)
    assert (code, document["recommended"], document["lr"], document["batches"]) == (
        1,
        None,
        None,
        [],
    )
    assert err.splitlines()[-1] == (
        "next: dltune batch-find wine.toml --memory 1e-06 --min-batch 1 "
        "--set train.precision=bfloat16  "
        "(values of half the size)"
    )


@pytest.mark.slow
def test_a_range_of_rates_stands_at_its_middle(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edits = ["--space", "optim.lr=log:1e-4:1e-2", "--no-sweep", "--json"]
    _, out, err = run(capsys, *edits)
    assert json.loads(out)["scaling"]["before"] == pytest.approx(1e-3)
    assert err.splitlines()[0] == (
        "ranges stand at their middle: model.dropout 0.25, optim.lr 0.001 "
        "(--set fixes another value)"
    )
    _, out, err = run(capsys, *edits, "--lr", "0.02")
    assert json.loads(out)["scaling"]["before"] == 0.02
    assert err.splitlines()[0] == NOTES[0]


MISTAKES = [
    pytest.param(
        ["--memory", "0"],
        "--memory 0: must be a number of gigabytes above 0",
        "Try --memory 4.",
        id="no memory",
    ),
    pytest.param(
        ["--lr", "-1"], "--lr -1: must be a rate above 0", "Try --lr 1e-3.", id="negative rate"
    ),
    pytest.param(
        ["--scale", "squrt"],
        "--scale squrt: must be auto, linear or sqrt",
        "Did you mean --scale sqrt?",
        id="misspelled rule",
    ),
    pytest.param(
        ["--scale", "none"],
        "--scale none: must be auto, linear or sqrt",
        "Try --scale auto.",
        id="no such rule",
    ),
    pytest.param(
        ["--csv", "nowhere/table.csv"],
        "--csv nowhere/table.csv: there is no folder nowhere",
        "Create it with mkdir -p nowhere.",
        id="no folder",
    ),
    pytest.param(
        ["--csv", "."],
        "--csv . is a folder: a file is needed",
        "Try --csv batch_find.csv.",
        id="a folder",
    ),
    pytest.param(
        ["--min-batch", "107"],
        "--min-batch 107: the train split has 106 examples, and a batch has no more",
        "Try --min-batch 8.",
        id="larger than the data",
    ),
    pytest.param(
        ["--min-batch", "64", "--max-batch", "16"],
        "--min-batch 64 --max-batch 16: 1 <= smallest <= largest must hold",
        "Try --min-batch 2.",
        id="swapped",
    ),
    pytest.param(
        ["--apply", "--space", "optim.lr=log:1e-4:1e-2"],
        "--apply: optim.lr is a range, but one batch size and one learning rate are to be written",
        "Leave --apply out, or fix it in the recipe, as --set optim.lr=VALUE does for one command.",
        id="a range of rates",
    ),
    pytest.param(
        ["--apply", "--space", "train.batch_size=choice:16:32"],
        "--apply: train.batch_size is a range, but one batch size and one learning rate are to be "
        "written",
        "Leave --apply out, or fix it in the recipe, as --set train.batch_size=VALUE does for one "
        "command.",
        id="a range of batches",
    ),
    pytest.param(
        ["--apply", "--space", "optim.name=choice:sgd:adam"],
        "--apply: optim.name is a choice, but one batch size and one learning rate are to be "
        "written",
        "Leave --apply out, or fix it in the recipe, as --set optim.name=VALUE does for one "
        "command.",
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
    assert not Path("batch_find.csv").exists()
    assert recipe.read_text() == RECIPE


def test_the_module_imports_nothing_heavy() -> None:
    """Help and completion import it, whatever command they are for."""
    program = (
        "import sys, dltune.cli.batch_find;"
        "print({'torch', 'numpy', 'scipy', 'plotext', 'matplotlib', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "set()\n"
