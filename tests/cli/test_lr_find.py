from __future__ import annotations

import csv
import inspect
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from dltune.cli import lr_find as command
from dltune.cli.lr_find import UNTYPED, lr_find
from dltune.data.load import load_data
from dltune.lr.extend import DEFAULT_RANGES
from dltune.recipe.files import apply_edits
from dltune.recipe.schema import DataConfig
from dltune.report.lr_find import CSV_COLUMNS

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
epochs = 4
device = "cpu"
"""
FAST = ("--seeds", "2", "--steps", "80")
NOTES = [
    "task: classification, as sklearn:wine is meant",
    "wine: 178 examples; train 106, dev 36, test 36 (stratified, seed 0)",
]
MIDDLE = "ranges stand at their middle: model.dropout 0.25 (--set fixes another value)"


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "wine.toml"
    path.write_text(RECIPE)
    return path


def plain(recipe: Path, lr: str = "") -> None:
    """Make it a recipe without ranges."""
    recipe.write_text(
        f'data.source = "sklearn:wine"\n[optim]\n{lr}\n[train]\nepochs = 4\ndevice = "cpu"\n'
    )


def test_plot_on_stdout_and_advice_on_stderr(recipe: Path, dltune) -> None:
    done = dltune("lr-find", "wine.toml", "--no-validate", *FAST)
    assert done.code == 0
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].strip() == "train loss: · one batch, line the mean of 2 seeds, = the band"
    for start in ("L suggestion", "= band", "S steepest", "M minimum", "  range"):
        assert sum(line.startswith(start) for line in lines) == 1
    said = done.err.splitlines()
    assert said == [
        MIDDLE,
        *NOTES,
        said[3],
        "wrote lr_find.csv",
        "not checked by training: --validate does so, in the time of about 2 trainings",
        "next: dltune lr-find wine.toml --steps 80 --seeds 2 --no-validate --apply lr  "
        "(write it into the recipe)",
    ]
    assert said[3].startswith("2 seeds, ")
    assert recipe.read_text() == RECIPE


def test_where_it_takes_seconds_candidates_are_trained(recipe: Path, dltune) -> None:
    """And what that costs is said before anything else."""
    done = dltune("lr-find", "wine.toml", *FAST)
    assert done.code == 0
    said = done.err.splitlines()
    assert said[0] == MIDDLE
    assert said[1].startswith("validation: 7 rates x 2 seeds for 2 epochs, then 3 x 2 for 4: ")
    assert said[2:4] == NOTES
    assert not any(line.startswith("not checked") for line in said)
    assert "lowest dev loss in trainings of\n" in done.out
    assert done.out.count("<- suggestion") == 1
    asked = dltune("lr-find", "wine.toml", "--validate", *FAST)
    assert asked.err.replace(" --validate", "") == done.err
    assert (asked.code, asked.out) == (done.code, done.out)


def test_more_may_be_spent_on_the_validation(recipe: Path, dltune) -> None:
    done = dltune("lr-find", "wine.toml", "--json", "--budget", "0", "--validate", *FAST)
    rounds = json.loads(done.out)["validation"]["rounds"]
    assert [(one["candidates"], one["seeds"]) for one in rounds] == [(5, 1), (2, 1)]
    done = dltune("lr-find", "wine.toml", "--json", "--budget", "50", "--validate", *FAST)
    rounds = json.loads(done.out)["validation"]["rounds"]
    assert [(one["candidates"], one["seeds"]) for one in rounds] == [(9, 5)]


def test_a_validation_that_takes_long_waits_to_be_asked_for(recipe: Path, dltune) -> None:
    done = dltune("lr-find", "wine.toml", "--json", "--set", "train.epochs=1000000", *FAST)
    assert json.loads(done.out)["validation"] is None
    assert "not checked by training: --validate does so" in done.err
    assert "validation:" not in done.err


def test_json_csv_and_plot_agree(recipe: Path, dltune) -> None:
    done = dltune(
        "lr-find", "wine.toml", "--json", "--csv", "curve.csv", "--plot", "curve.png", *FAST
    )
    document = json.loads(done.out)
    assert done.code == 0
    assert document["status"] == "ok"
    assert document["ranges_at_middle"] == {"model.dropout": 0.25}
    assert (document["csv"], document["plot"]) == ("curve.csv", "curve.png")
    assert document["applied"] is None
    assert document["suggestion"] == document["validation"]["suggestion"]
    with Path("curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["seed"] for row in rows[:: document["steps"]]] == [
        str(one["seed"]) for one in document["seeds"]
    ]
    assert sum(row["seed"] == "0" for row in rows) == document["losses"]
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "wrote curve.csv and curve.png" in done.err
    assert not Path("lr_find.csv").exists()


def test_the_command_gives_the_same_again(recipe: Path, dltune) -> None:
    first, again = (dltune("lr-find", "wine.toml", "--json", "--seed", 7, *FAST) for _ in range(2))
    assert first == again
    assert json.loads(first.out)["seed"] == 7
    assert dltune("lr-find", "wine.toml", "--json", "--seed", 8, *FAST).out != first.out


def test_one_seed_will_do(recipe: Path, dltune) -> None:
    done = dltune("lr-find", "wine.toml", "--json", "--seeds", 1, "--no-validate")
    document = json.loads(done.out)
    assert [one["seed"] for one in document["seeds"]] == [0]
    assert document["spread_decades"] is None
    assert "one seed, " in done.err


def changed_lines(recipe: Path) -> list[tuple[str, str]]:
    both = zip(RECIPE.splitlines(), recipe.read_text().splitlines(), strict=True)
    return [(old, new) for old, new in both if old != new]


def test_apply_lr_writes_the_suggestion_and_keeps_comments(recipe: Path, dltune) -> None:
    done = dltune("lr-find", "wine.toml", "--apply", "lr", "--json", *FAST)
    document = json.loads(done.out)
    suggestion = document["suggestion"]
    assert done.code == 0
    assert document["applied"] == {
        "path": "wine.toml",
        "before": {"log": [1e-4, 1e-1]},
        "after": suggestion,
    }
    assert tomllib.loads(recipe.read_text())["optim"]["lr"] == suggestion
    ((old, new),) = changed_lines(recipe)
    assert old.startswith("lr = {")
    assert new.endswith("  # as in the paper")
    assert f"wine.toml: optim.lr {{log = [0.0001, 0.1]}} → {suggestion}" in done.err
    assert done.err.splitlines()[-1] == (
        "next: dltune search wine.toml --trials 32  (search the ranges)"
    )


def test_apply_range_writes_the_range_to_search(recipe: Path, dltune) -> None:
    done = dltune("lr-find", "wine.toml", "--apply", "range", "--json", *FAST)
    document = json.loads(done.out)
    low, high = document["search_range"]
    assert low < document["suggestion"] < high
    assert document["applied"]["after"] == {"log": [low, high]}
    assert tomllib.loads(recipe.read_text())["optim"]["lr"] == {"log": [low, high]}
    ((_, new),) = changed_lines(recipe)
    assert new.replace(" ", "").startswith(f"lr={{log=[{low!r},{high!r}]}}#")
    assert done.err.splitlines()[-1].startswith("next: dltune search wine.toml ")


def test_apply_range_keeps_a_start_that_lies_in_it(recipe: Path, dltune) -> None:
    found = json.loads(dltune("lr-find", "wine.toml", "--json", *FAST).out)
    (low, high), rate = found["search_range"], found["suggestion"]
    for start, kept in ((rate, {"start": rate}), (low / 10, {})):
        apply_edits(recipe, {"optim.lr": {"log": [low / 100, high], "start": start}})
        done = dltune("lr-find", "wine.toml", "--apply", "range", "--json", *FAST)
        assert json.loads(done.out)["applied"]["after"] == {"log": [low, high]} | kept


def test_apply_adds_a_rate_that_was_unset(recipe: Path, dltune) -> None:
    plain(recipe)
    done = dltune("lr-find", "wine.toml", "--apply", "lr", "--json", *FAST)
    suggestion = json.loads(done.out)["suggestion"]
    assert tomllib.loads(recipe.read_text())["optim"]["lr"] == suggestion
    assert f"wine.toml: optim.lr unset → {suggestion}" in done.err
    assert done.err.splitlines()[-1] == "next: dltune train wine.toml  (train with it)"


@pytest.mark.parametrize("what", ["lr", "range"])
def test_what_was_applied_can_be_used(recipe: Path, what: str, dltune) -> None:
    plain(recipe)
    assert dltune("lr-find", "wine.toml", "--apply", what, *FAST).code == 0
    words = recipe.read_text()
    if what == "range":
        assert dltune("search", "wine.toml", "--trials", 2, "--workers", 1).code == 0
    else:
        assert dltune("train", "wine.toml").code == 0
    assert dltune("lr-find", "wine.toml", *FAST).code == 0
    assert recipe.read_text() == words


def test_the_recipes_own_rate_is_tried(recipe: Path, dltune) -> None:
    plain(recipe, "lr = 0.0003")
    done = dltune("lr-find", "wine.toml", *FAST)
    (line,) = [line for line in done.out.splitlines() if "the recipe's own" in line]
    assert line.split()[0] == "3e-4"
    document = json.loads(dltune("lr-find", "wine.toml", "--json", *FAST).out)
    own = [one["lr"] for one in document["validation"]["candidates"] if one["own"]]
    assert own == [0.0003]


def test_a_refusal_has_null_and_exit_code_1(recipe: Path, dltune) -> None:
    words = ("lr-find", "wine.toml", "--max-lr", "1e-4", "--apply", "lr", *FAST)
    done = dltune(*words, "--json")
    document = json.loads(done.out)
    assert done.code == 1
    for key in ("suggestion", "band", "search_range", "applied"):
        assert document[key] is None
    assert document["status"] in ("falling", "flat")
    assert document["reason"]
    assert recipe.read_text() == RECIPE
    assert done.err.splitlines()[-1].startswith("next: dltune lr-find wine.toml --")
    done = dltune(*words)
    assert done.code == 1
    assert f"no suggestion ({document['status']}): " in done.out


def test_trainings_that_learn_nothing_are_a_refusal(recipe: Path, dltune) -> None:
    """Labels that have nothing to do with the features: the sweep falls, the dev loss does not."""
    rows = [f"{i},{i % 7},{i % 2}" for i in range(1, 61) if i != 9]
    Path("chance.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    recipe.write_text(
        'data = { source = "chance.csv", target = "y" }\n'
        'train = { batch_size = "full", device = "cpu" }\n'
    )
    before = recipe.read_text()
    done = dltune("lr-find", "wine.toml", "--apply", "lr")
    assert done.code == 1
    assert done.out.endswith("\n\nno suggestion: no candidate learned anything\n")
    assert "L suggestion" not in done.out
    assert done.err.splitlines()[-1].startswith("next: dltune train wine.toml --set optim.lr=")
    assert recipe.read_text() == before


def test_set_fixes_a_range(recipe: Path, dltune) -> None:
    done = dltune(
        "lr-find", "wine.toml", "--set", "model.dropout=0", "--json", "--no-validate",
        "--steps", 60, "--min-lr", "1e-6", "--max-lr", "10",
    )  # fmt: skip
    document = json.loads(done.out)
    assert document["ranges_at_middle"] == {}
    assert "middle" not in done.err
    assert (document["low"], document["high"], document["steps"]) == (1e-6, 10.0, 60)


def test_a_suggestion_outside_the_recipes_range_is_said(recipe: Path, dltune) -> None:
    words = ("lr-find", "wine.toml", "--no-validate", *FAST)
    said = "the suggestion lies outside the recipe's range optim.lr = {log = [1e-06, 1e-05]}"
    assert said in dltune(*words, "--space", "optim.lr=log:1e-6:1e-5").err.splitlines()
    assert "outside" not in dltune(*words, "--space", "optim.lr=log:1e-6:1").err


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
        ["--min-lr", "nan"],
        "the sweep goes from learning rate nan to 10: 0 < lowest < highest must hold, both finite",
        "Try --min-lr 1e-6 --max-lr 10.",
        id="not a number",
    ),
    pytest.param(
        ["--seeds", "0"],
        "Invalid value for '--seeds': Input should be greater than or equal to 1.",
        "Type dltune lr-find --help for what it takes.",
        id="no seeds",
    ),
    pytest.param(
        ["--budget", "-1"],
        "Invalid value for '--budget': Input should be greater than or equal to 0.",
        "Type dltune lr-find --help for what it takes.",
        id="budget below nothing",
    ),
    pytest.param(
        ["--apply", "lr", "--space", "optim.name=choice:sgd:adam"],
        "--apply: optim.name is a choice, but a learning rate suits one optimizer",
        "Leave --apply out, or put one optimizer into the recipe.",
        id="several optimizers",
    ),
    pytest.param(
        ["--apply", "rnage"],
        "--apply rnage: must be lr or range",
        "Did you mean --apply range?",
        id="almost a word",
    ),
    pytest.param(
        ["--apply", "everything"],
        "--apply everything: must be lr or range",
        "Try --apply lr.",
        id="no such word",
    ),
    pytest.param(
        ["--apply", "lr", "--over", "optim.weight_decay=0,1"],
        "--apply with --over: a comparison has an answer for each value",
        "Leave one of them out.",
        id="apply a comparison",
    ),
    pytest.param(
        ["--set", "train.epohcs=3"],
        "train.epohcs: unknown key; did you mean train.epochs?",
        "Look at --set, --space and wine.toml.",
        id="no such key",
    ),
]


@pytest.mark.parametrize(("arguments", "found", "hint"), MISTAKES)
def test_mistakes_are_two_calm_lines(
    recipe: Path, arguments: list[str], found: str, hint: str, dltune
) -> None:
    done = dltune("lr-find", "wine.toml", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-2:] == [f"error: {found}", hint]
    assert not Path("lr_find.csv").exists()
    assert recipe.read_text() == RECIPE


def test_apply_without_a_word_is_a_mistake(recipe: Path, dltune) -> None:
    done = dltune("lr-find", "wine.toml", "--apply")
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 2


def test_a_hole_in_the_data_is_named(recipe: Path, dltune) -> None:
    rows = [f"{i},{i % 7},{i % 2}" for i in range(30)]
    rows[8] = "nan,1,1"
    Path("holes.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    recipe.write_text('data = { source = "holes.csv", target = "y" }\n')
    done = dltune("lr-find", "wine.toml")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[0] == (
        "error: holes.csv, line 10, column 'a': no value (empty or NaN); "
        "it is the only missing value"
    )


BUGGY = """\
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.first, self.last = nn.Linear(*inputs, 8), nn.Linear(9, outputs)
    def forward(self, batch):
        return self.last(torch.relu(self.first(batch)))
"""


def test_a_bug_in_an_own_model_is_told_without_traceback(recipe: Path, dltune) -> None:
    Path("net.py").write_text(BUGGY)
    recipe.write_text('data.source = "sklearn:wine"\nmodel.factory = "net.py:Net"\n')
    done = dltune("lr-find", "wine.toml")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: the model of 'net.py:Net' raised RuntimeError on a batch")
    assert "mat1 and mat2 shapes cannot be multiplied" in done.err
    assert "Traceback" not in done.err


PRETRAINED = """\
import torch
from torch import nn
def build(inputs, outputs):
    net = nn.Linear(*inputs, outputs)
    net.load_state_dict(torch.load("weights.pt"))
    return net
"""


def test_a_pretrained_model_has_an_answer_by_training_only(recipe: Path, dltune) -> None:
    """A sweep shows where its loss breaks, and no fall: least squares leave nothing to learn."""
    train = load_data(DataConfig(source="sklearn:diabetes"), folder=Path()).train
    inputs = np.column_stack([train.features, np.ones(len(train.features))])
    fit = 0.97 * torch.tensor(np.linalg.lstsq(inputs, train.targets)[0].T, dtype=torch.float32)
    torch.save({"weight": fit[:, :-1], "bias": fit[:, -1]}, "weights.pt")
    Path("net.py").write_text(PRETRAINED)
    recipe.write_text(
        'data.source = "sklearn:diabetes"\nmodel.factory = "net.py:build"\n'
        'train = { epochs = 10, device = "cpu" }\n'
    )
    done = dltune("lr-find", "wine.toml", "--json", "--no-validate")
    document = json.loads(done.out)
    assert (done.code, document["status"], document["suggestion"]) == (1, "learned", None)
    assert document["edge"] > 0.5
    assert document["initial_loss"] < document["constant_loss"] / 2
    assert done.err.splitlines()[-1] == (
        "next: dltune lr-find wine.toml --validate  (what could show one)"
    )
    done = dltune("lr-find", "wine.toml", "--json", "--validate")
    document = json.loads(done.out)
    assert (done.code, document["status"]) == (0, "learned")
    assert document["constant"] is None
    assert 1e-3 < document["suggestion"] < document["edge"] / 10


@pytest.mark.parametrize("size", ["full", "1"])
def test_any_batch_size_will_do(recipe: Path, size: str, dltune) -> None:
    done = dltune("lr-find", "wine.toml", "--set", f"train.batch_size={size}", "--json", *FAST)
    assert done.code == 0
    assert 1e-4 < json.loads(done.out)["suggestion"] < 1


# In a process of its own: the signal must find the main thread as it is when a user types Ctrl-C.
INTERRUPTED = """
import os, signal, sys
import dltune.lr.validation.validate as module
whole = module.train_cohort
def interrupted(*positional, **named):
    epochs = whole(*positional, **named)
    yield next(epochs)
    os.kill(os.getpid(), signal.SIGINT)
    return (yield from epochs)
module.train_cohort = interrupted
from dltune.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send there")
@pytest.mark.slow
def test_ctrl_c_during_the_validation_leaves_the_recipe(recipe: Path) -> None:
    words = ["lr-find", "wine.toml", "--apply", "lr", "--validate", *FAST]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.splitlines()[-1] == "interrupted"
    assert "Traceback" not in done.stderr
    assert any(line.startswith("validation: ") for line in done.stderr.splitlines())
    assert recipe.read_text() == RECIPE


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send there")
@pytest.mark.slow
def test_ctrl_c_at_any_time_is_calm(recipe: Path) -> None:
    """Once the validation was announced, whatever is done just then."""
    words = ["--apply", "lr", "--validate", "--set", "train.epochs=100000"]
    running = subprocess.Popen(
        [sys.executable, "-m", "dltune", "lr-find", "wine.toml", *words, *FAST],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert running.stderr is not None
    said = [running.stderr.readline(), running.stderr.readline()]
    assert said[1].startswith("validation: ")
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (130, "", "interrupted\n")
    assert recipe.read_text() == RECIPE


def test_the_help_tells_the_ranges_that_there_are() -> None:
    for text, place in ((command.FIRST, 0), (command.LAST, 1)):
        usual, *others = text.split("; ")
        extended = others.pop()
        assert extended == ("lower where needed", "higher where needed")[place]
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


def test_help_has_an_example_and_the_defaults(dltune) -> None:
    from dltune.lr import finder
    from dltune.lr.validation.plan import DEFAULT_BUDGET

    out = " ".join(dltune("lr-find", "--help").out.split())
    assert "Example: dltune lr-find recipes/digits-mlp.toml --plot lr_find.png" in out
    assert f"[default: {finder.DEFAULT_SEEDS}; x>=1]" in out
    assert f"[default: {DEFAULT_BUDGET}; x>=0.0]" in out
    assert (
        f"{finder.STEPS_PER_DECADE_SMALL} a decade; {finder.STEPS_PER_DECADE} for a larger model "
        f"or a cnn, {finder.STEPS_PER_DECADE_OWN} for your own"
    ) in out


def test_the_next_command_has_what_was_typed(recipe: Path, dltune) -> None:
    """Without it, the next command would look for another rate."""
    edits = ["--set", "optim.name=sgd", "--set", "model.hidden=[4, 4]", "--device", "cpu"]
    more = ["--space", "optim.weight_decay=log:1e-6:1e-2", "--seed", "3", "--no-validate"]
    done = dltune("lr-find", "wine.toml", *edits, *more, *FAST)
    last = done.err.splitlines()[-1].removeprefix("next: dltune ").partition("  (")[0]
    typed = shlex.split(last)
    assert typed[:2] == ["lr-find", "wine.toml"]
    for option, value in zip(edits[::2] + more[:4:2], edits[1::2] + more[1:4:2], strict=True):
        assert (option, value) in set(itertools.pairwise(typed))
    assert typed[-3:] == ["--no-validate", "--apply", "lr"]
    again = dltune(*typed)  # and it can be typed
    assert again.code == 0
    after = shlex.split(again.err.splitlines()[-1].removeprefix("next: ").partition("  (")[0])
    assert after[:3] == ["dltune", "search", "wine.toml"]
    assert "optim.name=sgd" in after
    assert "--seed" not in after  # of a search it is another seed


def test_defaults_of_what_is_not_typed() -> None:
    defaults = inspect.signature(lr_find).parameters
    assert {name: defaults[name].default for name in UNTYPED} == UNTYPED
