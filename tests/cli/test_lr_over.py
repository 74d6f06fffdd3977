from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from dltune.report.lr_over import CSV_COLUMNS

RECIPE = """\
[data]
source = "sklearn:wine"
[model]
hidden = [16]
dropout = { uniform = [0.0, 0.5] }
[train]
epochs = 2
device = "cpu"
"""
FAST = ("--seeds", "2", "--steps", "80")
DECAY = "optim.weight_decay=0,1e-2"


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "wine.toml"
    path.write_text(RECIPE)
    return path


def test_chart_and_table_on_stdout_and_advice_on_stderr(recipe: Path, dltune) -> None:
    done = dltune("lr-find", "wine.toml", "--over", DECAY, *FAST)
    assert done.code == 0
    chart, table = done.out.removesuffix("\n").split("\n\n")
    assert chart.startswith("optim.weight_decay: = the band, L suggestion, E edge\n")
    assert [line.split()[0] for line in table.splitlines()] == ["optim.weight_decay", "0", "1e-2"]
    assert max(map(len, done.out.splitlines())) <= 80
    assert done.err.splitlines() == [
        "ranges stand at their middle: model.dropout 0.25 (--set fixes another value)",
        "task: classification, as sklearn:wine is meant",
        "wine: 178 examples; train 106, dev 36, test 36 (stratified, seed 0)",
        "wrote lr_find.csv",
        "next: dltune lr-find wine.toml --steps 80 --seeds 2 "
        "--set optim.weight_decay=VALUE --apply lr  "
        "(write the rate for one of them)",
    ]
    assert recipe.read_text() == RECIPE


def test_json_csv_and_plot_agree(recipe: Path, dltune) -> None:
    done = dltune(
        "lr-find", "wine.toml", "--over", DECAY, "--json",
        "--csv", "over.csv", "--plot", "over.png", *FAST,
    )  # fmt: skip
    document = json.loads(done.out)
    assert document["over"] == "optim.weight_decay"
    assert [one["value"] for one in document["values"]] == ["0", "1e-2"]
    with Path("over.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    for row, value in zip(rows, document["values"], strict=True):
        assert row["value"] == value["value"]
        assert float(row["suggestion"]) == value["suggestion"]
        assert [float(row["band_low"]), float(row["band_high"])] == value["band"]
    assert Path("over.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "wrote over.csv and over.png" in done.err


def test_a_value_is_what_set_would_make_of_it(recipe: Path, dltune) -> None:
    """The same numbers as `lr-find --set`, with all of its options."""
    options = ("--set", "model.dropout=0", "--seed", 3, "--json", *FAST)
    over = dltune("lr-find", "wine.toml", "--over", "model.hidden=[8],[16,8]", *options)
    alone = dltune(
        "lr-find", "wine.toml", "--set", "model.hidden=[16,8]", "--no-validate", *options
    )
    first, second = json.loads(over.out)["values"]
    assert [first["value"], second["value"]] == ["[8]", "[16,8]"]
    wanted = json.loads(alone.out)
    shared = set(wanted) & set(second)
    assert {key: second[key] for key in shared} == {key: wanted[key] for key in shared}
    assert first["suggestion"] != second["suggestion"]


def test_validation_where_it_is_asked_for(recipe: Path, dltune) -> None:
    done = dltune("lr-find", "wine.toml", "--over", DECAY, "--validate", "--json", *FAST)
    assert all(one["validation"] for one in json.loads(done.out)["values"])
    costs = [line for line in done.err.splitlines() if ": validation: " in line]
    assert [line.partition(": ")[0] for line in costs] == [
        "optim.weight_decay 0",
        "optim.weight_decay 1e-2",
    ]


def test_a_schedule_is_compared_by_training(recipe: Path, dltune) -> None:
    """A sweep does not see it."""
    done = dltune(
        "lr-find", "wine.toml", "--over", "schedule.name=constant,cosine", "--no-validate",
        "--json", *FAST,
    )  # fmt: skip
    constant, cosine = json.loads(done.out)["values"]
    assert constant["edge"] == cosine["edge"]
    assert constant["validation"]["candidates"] != cosine["validation"]["candidates"]
    assert constant["validation"] is not None


def test_optimizers_have_ranges_of_their_own(recipe: Path, dltune) -> None:
    done = dltune("lr-find", "wine.toml", "--over", "optim.name=sgd,adam", "--json", "--seeds", 2)
    sgd, adam = json.loads(done.out)["values"]
    assert (sgd["optimizer"], adam["optimizer"]) == ("sgd", "adam")
    assert sgd["high"] == 10 * adam["high"]
    assert sgd["suggestion"] > 3 * adam["suggestion"]


def test_several_comparisons_are_one_object(recipe: Path, dltune) -> None:
    words = ("--over", DECAY, "--over", "train.batch_size=32,full")
    done = dltune("lr-find", "wine.toml", *words, "--json", *FAST)
    document = json.loads(done.out)
    keys = [one["over"] for one in document["comparisons"]]
    assert keys == ["optim.weight_decay", "train.batch_size"]
    done = dltune("lr-find", "wine.toml", *words, *FAST)
    assert done.out.count("= the band, L suggestion, E edge") == 2
    assert done.err.splitlines()[0] == (
        "lr_find.csv holds the last comparison only: --csv names one file"
    )


def test_a_value_without_an_answer_makes_the_exit_code_1(recipe: Path, dltune) -> None:
    done = dltune("lr-find", "wine.toml", "--over", DECAY, "--max-lr", "1e-3", *FAST)
    assert done.code == 1
    assert done.out.startswith("optim.weight_decay: no value has a suggestion\n")
    assert done.out.count(": no suggestion (") == 2
    assert done.err.splitlines()[-1].startswith(
        "next: dltune lr-find wine.toml --steps 80 --seeds 2 --set optim.weight_decay=0 --max-lr "
    )


MISTAKES = [
    pytest.param(
        "optim.weight_decay",
        "--over optim.weight_decay: must be a key, =, and values with commas between them",
        "Try --over optim.weight_decay=0,1e-4,1e-2.",
        id="no values",
    ),
    pytest.param(
        "optim.weight_decay=",
        "--over optim.weight_decay=: must be a key, =, and values with commas between them",
        "Try --over optim.weight_decay=0,1e-4,1e-2.",
        id="nothing behind =",
    ),
    pytest.param(
        "optim.weight_decay=0,,1",
        "--over optim.weight_decay=0,,1: must be a key, =, and values with commas between them",
        "Try --over optim.weight_decay=0,1e-4,1e-2.",
        id="a hole",
    ),
    pytest.param(
        "=0,1",
        "--over =0,1: must be a key, =, and values with commas between them",
        "Try --over optim.weight_decay=0,1e-4,1e-2.",
        id="no key",
    ),
    pytest.param(
        "optim.lr=1e-3,1e-2",
        "--over optim.lr: the learning rate is what is looked for",
        "Compare it over another key, such as --over optim.weight_decay=0,1e-4,1e-2.",
        id="the rate itself",
    ),
    pytest.param(
        "optim.weigt_decay=0,1",
        "optim.weigt_decay: unknown key; did you mean optim.weight_decay?",
        "Look at --set, --space and wine.toml.",
        id="a typo in the key",
    ),
    pytest.param(
        "optim.weight_decay=0,much",
        'optim.weight_decay = "much": must be a number',
        "Look at --set, --space and wine.toml.",
        id="a value of the wrong kind",
    ),
]


@pytest.mark.parametrize(("over", "found", "hint"), MISTAKES)
def test_mistakes_are_two_calm_lines(
    recipe: Path, over: str, found: str, hint: str, dltune
) -> None:
    """Also in the second comparison: none is begun before all are understood."""
    for words in (["--over", over], ["--over", DECAY, "--over", over]):
        done = dltune("lr-find", "wine.toml", *words)
        assert (done.code, done.out) == (2, "")
        assert done.err.splitlines()[-2:] == [f"error: {found}", hint]
        assert not Path("lr_find.csv").exists()
