"""`dltune search`, on a network of eight units."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dltune.runs.run import load_run


def trials_of(run: Path) -> list[dict[str, str]]:
    with (run / "trials.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_table_on_stdout_progress_and_advice_on_stderr(dltune, folder: Path) -> None:
    done = dltune("search", "tiny.toml", "--trials", "3", "--seed", "5")
    assert done.code == 0
    run = load_run(folder / "runs" / "tiny-1")
    header, *rows = done.out.split("\n")[1:5]
    assert header.split() == ["#", "trial", "error", "error", "epoch", "seconds", "lr"]
    by_error = sorted(run.trials, key=lambda one: (one.dev_error, one.number))
    assert [int(row.split()[1]) for row in rows] == [one.number for one in by_error]
    best = by_error[0]
    assert f"best: trial {best.number}, epoch {best.best_epoch} of 2, " in done.out
    assert f"dev error {best.dev_error:.4f}   train error {best.train_error:.4f}" in done.out

    lines = done.err.splitlines()
    assert "digits: 1,797 examples; train 1,079, dev 359, test 359 (stratified, seed 0)" in lines
    assert "runs/tiny-1: 3 trials" in lines
    progress = re.compile(r"\d done(, \d running)? of 3  best( dev error)? 0\.\d{4}")
    assert 1 <= len([line for line in lines if progress.match(line)]) <= 6  # an epoch each
    assert lines[-1] == (
        "next: dltune diagnose runs/tiny-1  (bias or variance, and what to change)"
    )
    assert run.about.seed == 5
    assert "\x1b" not in done.out + done.err


def test_a_grid_says_its_size_before_it_starts(dltune, folder: Path) -> None:
    done = dltune("search", "tiny.toml", "--strategy", "grid", "--name", "all")
    lines = done.err.splitlines()
    start = lines.index("runs/all: 3 trials of a grid of 3 points")
    assert start < lines.index(next(line for line in lines if re.match(r"\d done", line)))
    rates = [float(row["optim.lr"]) for row in trials_of(folder / "runs" / "all")]
    assert rates == [1e-3, 1e-2, 1e-1]


def test_advice_to_widen_a_range(dltune, folder: Path) -> None:
    # Of two epochs at 1e-6 or 2e-6 the faster must win, which is at the upper end.
    done = dltune(
        "search", "tiny.toml", "--strategy", "grid", "--space", "optim.lr=log:1e-6:1e-4:points=2"
    )
    assert "best optim.lr = 0.0001 is at the upper end of its range: better may lie" in done.err
    assert "  --space optim.lr=log:1e-06:0.001:points=2" in done.err.splitlines()


def test_json_is_the_only_thing_on_stdout(dltune, folder: Path) -> None:
    done = dltune("search", "tiny.toml", "--trials", "2", "--name", "two", "--json")
    document = json.loads(done.out)
    run = load_run(folder / "runs" / "two")
    assert run.best is not None
    assert document["run"] == "runs/two"
    assert (document["trials"], document["states"]) == (2, {"complete": 2})
    assert document["best"]["trial"] == run.best.number
    assert document["best"]["config"]["optim.lr"] == run.best.values["optim.lr"]
    assert len(document["top"]) == 2


def test_diverged_trials_are_told_and_exit_code_is_1(dltune, folder: Path) -> None:
    done = dltune(
        "search", "tiny.toml", "--strategy", "grid", "--set", "optim.name=sgd",
        "--space", "optim.lr=log:1e-2:1e30:points=2",
    )  # fmt: skip
    assert done.code == 1
    assert "1 of 2 trials did not complete:\n  1 diverged: non-finite loss (trial 1)" in done.out


def test_when_all_fail_the_next_command_is_lr_find(dltune, folder: Path) -> None:
    done = dltune(
        "search", "tiny.toml", "--trials", "2", "--name", "bad", "--set", "optim.name=sgd",
        "--space", "optim.lr=log:1e29:1e30",
    )  # fmt: skip
    assert done.code == 1
    assert done.out.startswith("no trial is complete\n\n2 of 2 trials did not complete:")
    assert done.err.splitlines()[-1].startswith("next: dltune lr-find runs/bad/recipe.toml")


def own_net(folder: Path, code: str) -> None:
    """The tiny recipe as `own.toml`, with a model of its own."""
    (folder / "net.py").write_text(f"from torch import nn\n{code}")
    text = (folder / "tiny.toml").read_text()
    own = text.replace('name = "mlp"\nhidden = [8]', 'factory = "net.py:build"')
    (folder / "own.toml").write_text(own)


def test_what_no_trial_can_get_right_is_told_before_the_first(dltune, folder: Path) -> None:
    own_net(folder, "def build(inputs, outputs):\n    raise ValueError('no such size')\n")
    done = dltune("search", "own.toml", "--trials", "8", "--name", "own", "--workers", "1")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "error: model.factory = 'net.py:build' raised ValueError: no such size (net.py, line 3)",
        "It was called as build(inputs=(1, 8, 8), outputs=10).",
    ]
    assert not (folder / "runs").exists()


def test_when_all_fail_for_another_reason_the_next_command_tells_it(dltune, folder: Path) -> None:
    own_net(
        folder,
        "class Net(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        if self.training: raise ValueError('no such size')\n"
        "        return super().forward(x)\n"
        "def build(inputs, outputs): return Net(nn.Flatten(), nn.Linear(64, outputs))\n",
    )
    done = dltune("search", "own.toml", "--trials", "2", "--name", "own")
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        "next: dltune diagnose runs/own --trial 0  (what became of it)"
    )
    explained = dltune("diagnose", "runs/own", "--trial", "0")
    assert "ValueError: no such size" in explained.out


def test_a_study_whose_trials_all_diverge_stops_and_says_so(dltune, folder: Path) -> None:
    done = dltune(
        "search", "tiny.toml", "--trials", "50", "--set", "optim.name=sgd",
        "--space", "optim.lr=log:1e29:1e30",
    )  # fmt: skip
    assert done.code == 1
    assert "the search ended: the first 20 trials all diverged alike: non-finite loss" in done.err
    # Those that were trained beside the first twenty have ended too.
    found = re.match(r"no trial is complete\n\n(\d+) of (\d+) trials did not complete:", done.out)
    assert found
    assert 20 <= int(found[1]) == int(found[2]) <= 50


def test_resume_adds_trials_and_equals_one_long_search(dltune, folder: Path) -> None:
    alone = ["--stack", "off"]  # stacks of other sizes round otherwise
    dltune("search", "tiny.toml", "--trials", "2", "--name", "short", *alone)
    done = dltune("search", "--resume", "--name", "short", "--trials", "4", *alone)
    assert "runs/short: 4 trials, 2 of them done already" in done.err
    dltune("search", "tiny.toml", "--trials", "4", "--name", "long", *alone)
    short, long = (trials_of(folder / "runs" / name) for name in ("short", "long"))
    assert len(short) == 4
    without_time = [{k: v for k, v in row.items() if k != "seconds"} for row in short]
    assert without_time == [{k: v for k, v in row.items() if k != "seconds"} for row in long]


def test_resume_of_a_complete_study_says_so(dltune, folder: Path) -> None:
    dltune("search", "tiny.toml", "--trials", "1", "--name", "one")
    done = dltune("search", "tiny.toml", "--resume", "--name", "one")
    assert done.code == 0
    assert "runs/one had all its 1 trials already; a larger --trials adds some" in done.err


def test_how_it_is_trained_is_said_to_those_who_ask(dltune, folder: Path) -> None:
    words = ["tiny.toml", "--trials", "4", "--workers", "1", "--stack", "4"]
    quiet = dltune("search", *words)
    verbose = dltune("search", *words, "--verbose")
    said = "mlp 8, batch 256: stacks of 4"
    assert said in verbose.err.splitlines()
    assert said not in quiet.err


@pytest.mark.slow
def test_the_process_of_the_command_loads_no_torch(folder: Path) -> None:
    program = (
        "import sys\nfrom dltune.cli.main import main\n"
        "if __name__ == '__main__':\n"
        "    words = '--trials 4 --workers 2 --stack 2'.split()\n"
        "    code = main(['search', 'tiny.toml', *words])\n"
        "    large = ('torch', 'sklearn', 'scipy', 'pandas', 'pyarrow')\n"
        "    print('code', code, [name for name in large if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "code 0 []"


def test_how_it_is_trained_may_change_with_a_resume(dltune, folder: Path) -> None:
    dltune("search", "tiny.toml", "--trials", "3", "--name", "x", "--workers", "2", "--stack", "2")
    done = dltune(
        "search", "--resume", "--name", "x", "--trials", "6", "--workers", "1", "--stack", "off",
        "--trial-timeout", "100",
    )  # fmt: skip
    assert done.code == 0
    assert "runs/x: 6 trials, 3 of them done already" in done.err
    assert [row["state"] for row in trials_of(folder / "runs" / "x")] == ["complete"] * 6


def test_a_trial_that_takes_too_long_has_failed(dltune, folder: Path) -> None:
    done = dltune(
        "search", "tiny.toml", "--trials", "1", "--workers", "1", "--set", "train.epochs=100000",
        "--trial-timeout", "0.2",
    )  # fmt: skip
    assert done.code == 1
    assert "1 failed: timeout: more than 0.2 s (trial 0)" in done.out


def test_the_options_of_evolution_reach_it(dltune, folder: Path) -> None:
    dltune(
        "search", "tiny.toml", "--strategy", "evolution", "--trials", "4", "--name", "evo",
        "--population", "2", "--parents", "2", "--mutation", "0.5", "--step", "0.2",
    )  # fmt: skip
    meta = load_run(folder / "runs" / "evo").about
    assert meta.strategy == "evolution"
    assert meta.options == {"population": 2, "parents": 2, "mutation": 0.5, "step": 0.2}


def test_a_start_is_trial_0_and_goes_with_the_study(dltune, folder: Path) -> None:
    start = ("--space", "optim.lr=log:1e-3:1e-1:start=5e-3", "--prior", "0.5")
    dltune("search", "tiny.toml", "--trials", "5", "--name", "whole", *start)
    dltune("search", "tiny.toml", "--trials", "3", "--name", "parts", *start)
    run = folder / "runs" / "parts"
    assert load_run(run).about.options == {"prior": 0.5}
    assert "start = 0.005" in (run / "recipe.toml").read_text()
    assert "start" not in (run / "best.toml").read_text()

    other = dltune(
        "search", "tiny.toml", "--space", "optim.lr=log:1e-3:1e-1:start=6e-3", "--resume",
        "--name", "parts", "--trials", "5",
    )  # fmt: skip
    assert other.code == 2
    assert "log = [0.001, 0.1], start = 0.005}, is now {log = [0.001, 0.1], " in other.err

    assert dltune("search", "--resume", "--name", "parts", "--trials", "5").code == 0
    rates, whole = (
        [row["optim.lr"] for row in trials_of(run.parent / name)] for name in ("parts", "whole")
    )
    assert rates == whole
    assert rates[0] == "0.005"


def test_a_grid_says_one_point_more_where_a_range_starts_beside_it(dltune, folder: Path) -> None:
    done = dltune(
        "search", "tiny.toml", "--strategy", "grid", "--name", "all",
        "--set", "optim.lr.start=2e-3",
    )  # fmt: skip
    assert "runs/all: 4 trials of a grid of 4 points" in done.err.splitlines()
    rates = [float(row["optim.lr"]) for row in trials_of(folder / "runs" / "all")]
    assert rates == [2e-3, 1e-3, 1e-2, 1e-1]


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        pytest.param(
            ["tiny.toml", "--strategy", "gird"],
            "error: --strategy gird: no such strategy; there are evolution, grid, pbt, random",
            "Try --strategy grid.",
            id="strategy",
        ),
        pytest.param(
            ["tiny.toml"],
            "error: --strategy random has no end of its own, and no --trials is given",
            "Say how many: --trials 32.",
            id="no trials",
        ),
        pytest.param(
            ["tiny.toml", "--trials", "2", "--step", "0.2"],
            "error: step: not an option of the strategy random; its options: prior",
            "Leave it out.",
            id="option of another strategy",
        ),
        pytest.param(
            ["tiny.toml", "--trials", "2", "--prior", "0.25"],
            "error: --prior 0.25 draws trials around the starts of ranges, and no range has one",
            "Give one, as in --set optim.lr.start=0.01, or leave --prior out.",
            id="a prior without a start",
        ),
        pytest.param(
            ["tiny.toml", "--trials", "2", "--space", "optim.lr=log:1e-4:1e-1:start=1"],
            "error: optim.lr: start = 1: must lie within the bounds [0.0001, 0.1]; widen them, or "
            "write start = 0.1",
            "Write it like --space optim.lr=log:1e-5:1e-1 or --space optim.name=choice:sgd:adam.",
            id="a start outside of its range",
        ),
        pytest.param(
            ["tiny.tom", "--trials", "2"],
            "error: tiny.tom: no such file",
            "Did you mean tiny.toml?",
            id="recipe",
        ),
        pytest.param(
            ["tiny.toml", "--trials", "2", "--set", "optim.lrr=1"],
            "error: optim.lrr: unknown key; did you mean optim.lr?",
            None,
            id="key",
        ),
        pytest.param(
            ["tiny.toml", "--trials", "2", "--device", "gpu"],
            'error: train.device = "gpu": must be one of "auto", "cpu", "cuda", "mps"; '
            'did you mean "cpu"?',
            None,
            id="device",
        ),
        pytest.param(
            ["tiny.toml", "--trials", "2", "--stack", "of"],
            "error: --stack of: must be auto, off or a number of trials, 1 or more",
            "Did you mean --stack off?",
            id="stack",
        ),
        pytest.param(
            ["tiny.toml", "--trials", "2", "--stack", "0"],
            "error: --stack 0: must be auto, off or a number of trials, 1 or more",
            "Try --stack auto.",
            id="stack of none",
        ),
        pytest.param(
            ["tiny.toml", "--trials", "2", "--workers", "all"],
            "error: --workers all: must be auto or a number of processes, 1 or more",
            "Try --workers auto.",
            id="workers",
        ),
        pytest.param(
            ["tiny.toml", "--trials", "2", "--workers", "1.5"],
            "error: --workers 1.5: must be auto or a number of processes, 1 or more",
            "Try --workers auto.",
            id="half a worker",
        ),
        pytest.param(
            ["tiny.toml", "--trials", "2", "--trial-timeout", "-1"],
            "error: --trial-timeout -1: must be more than 0 seconds",
            "Try --trial-timeout 600.",
            id="timeout",
        ),
        pytest.param(
            [],
            "error: dltune search needs a recipe",
            "Type dltune search RECIPE --trials 32, or --resume --name NAME to go on.",
            id="nothing",
        ),
        pytest.param(
            ["--resume"],
            "error: --resume needs the name of the study",
            "Type dltune search --resume --name NAME; NAME is a folder in runs.",
            id="resume what",
        ),
        pytest.param(
            ["--resume", "--name", "x", "--set", "optim.lr=1"],
            "error: --set, --space and --device change a recipe, and a resumed study has its own",
            "Leave them out: dltune search --resume --name x",
            id="resume with another recipe",
        ),
    ],
)
def test_mistakes(arguments: list[str], error: str, hint: str | None, dltune, folder: Path) -> None:
    done = dltune("search", *arguments)
    assert (done.code, done.out) == (2, "")
    first, *rest = done.err.splitlines()
    assert first == error
    assert len(rest) == 1
    assert hint in (None, rest[0])
    assert not (folder / "runs").exists()


def test_a_name_that_is_taken(dltune, folder: Path) -> None:
    (folder / "runs" / "mine").mkdir(parents=True)
    (folder / "runs" / "mine" / "notes.txt").write_text("keep me")
    done = dltune("search", "tiny.toml", "--trials", "1", "--name", "mine")
    assert done.code == 2
    assert done.err.startswith("error: runs/mine: already exists and is not empty\n")
    assert [one.name for one in (folder / "runs" / "mine").iterdir()] == ["notes.txt"]


def test_resume_names_the_run_spelled_alike(dltune, folder: Path) -> None:
    dltune("search", "tiny.toml", "--trials", "1", "--name", "digits")
    done = dltune("search", "--resume", "--name", "digist")
    assert done.code == 2
    assert "Did you mean digits?" in done.err


def test_a_hole_in_a_csv_is_named(dltune, folder: Path) -> None:
    rows = [f"{number},{number % 7},{number * 2}" for number in range(60)]
    rows[41] = "41,,82"
    (folder / "holes.csv").write_text("a,b,price\n" + "\n".join(rows) + "\n")
    (folder / "holes.toml").write_text(
        '[data]\nsource = "holes.csv"\ntarget = "price"\n'
        "[optim]\nlr = {log = [1e-3, 1e-1]}\n[train]\nepochs = 1\n"
    )
    done = dltune("search", "holes.toml", "--trials", "1")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert "holes.csv" in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_keeps_what_is_finished(dltune, folder: Path) -> None:
    command = [
        "search",
        "tiny.toml",
        "--trials",
        "100000",
        "--prune",  # of pruned trials, those that pause are cut, too
        "none",
        "--name",
        "long",
        "--runs-dir",
        "my runs",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "dltune", *command, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    history = folder / "my runs" / "long" / "history.csv"
    try:
        # A third row is a second trial: the first one is finished.
        while not history.exists() or len(history.read_text().splitlines()) < 4:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    finished = json.loads(out)["trials"]
    assert finished >= 1
    assert err.splitlines()[-1] == (
        f"interrupted: {finished} of 100000 trials are done and kept; go on with: "
        "dltune search --resume --name long --runs-dir 'my runs'"
    )
    rows = trials_of(folder / "my runs" / "long")
    last = max(int(row["trial"]) for row in rows if row["state"] == "complete")
    assert last < 100_000
    again = dltune(
        "search", "--resume", "--name", "long", "--runs-dir", "my runs",
        "--trials", last + 2, "--workers", "1", "--stack", "off", "--json",
    )  # fmt: skip
    assert again.code == 0
    assert json.loads(again.out)["trials"] == last + 2
