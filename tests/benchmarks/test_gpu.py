"""The benchmark of stacks on a GPU: what can be seen of it on the CPU, and its graph on CUDA."""

from __future__ import annotations

import importlib
import itertools
import json
from pathlib import Path

import pytest
import torch

from dltune.training.stacked.learner import StackedLearner


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["gpu.py", *arguments])
    importlib.import_module("gpu").main()


def test_it_measures_and_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gpu.json"
    options = ("--models", "mlp-32", "--stacks", "1,2", "--seconds", "10", "--json", str(file))
    run(monkeypatch, "--device", "cpu", *options)
    document = json.loads(file.read_text())
    assert document["title"].startswith("microseconds of one trial's update in float32, on the CPU")
    assert [row["stack"] for row in document["rows"]] == [1, 2]
    for row in document["rows"]:
        assert row["times"] == pytest.approx(row["looped, us"] / row["stack, us"])
        assert row["times"] > 0
        assert (row["peak, MiB"], row["CUDA graph, us"]) == ("", "no: not CUDA")
    (losses,) = document["losses"]
    assert losses["float64"] < 1e-12 < losses["float32"] < 1e-4
    printed = capsys.readouterr().out
    assert printed.count("| MLP 64-32-32-10 |") == 3
    assert "losses in a stack and one after another, 8 trials, 2 epochs" in printed


def test_a_stack_is_left_out_with_the_reason() -> None:
    script = importlib.import_module("gpu")
    cost = script.Cost(update=1.0, measured=1.0)
    before = script.Cell(size=16, cost=cost, wall=2.0, peak=None)

    def reason(size: int, **room: float) -> str:
        room = {"seconds": 8.0, "device": 8e9, "host": 4e9, **room}
        return script.reason_to_skip(size, 10**6, before=before, room=script.Room(**room))

    assert reason(64) == ""
    assert reason(65) == "would take up to 8 s, and has 8 s"
    assert reason(64, seconds=-1.0) == "would take up to 8 s, and has 0 s"
    assert reason(1001) == "needs 8.0 GB, and 8.0 GB are free"  # eight copies on the device
    assert reason(64, host=1e8) == "needs 0.2 GB, and 0.1 GB are free"  # three where it is made
    first = script.Room(seconds=0.0, device=8e9, host=4e9)
    assert script.reason_to_skip(1, 10**6, before=None, room=first) == ""


@pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU here"
)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), f"torch {torch.__version__} finds no GPU here; for a look type --device cpu"),
        (
            ("--device", "cuda"),
            f"train.device = 'cuda': torch {torch.__version__} finds no such device here "
            "(it finds cpu)",
        ),
    ],
)
def test_without_a_gpu_it_says_so_in_one_line(
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ending:
        run(monkeypatch, *arguments)
    assert ending.value.code == 2
    assert capsys.readouterr().err == f"gpu.py: {said}\n"


def test_an_update_that_a_graph_captures_trains() -> None:
    cohorts, graphs, tasks = map(importlib.import_module, ("cohorts", "graphs", "tasks"))
    trials, data = cohorts.make_cohort(tasks.TASKS["cnn"], 2, epochs=1)
    learner = StackedLearner(trials, data, folder=Path())
    with learner.running():
        update = graphs.repeated_update(learner)
        seen = [learner.parameters.weights.clone()]
        for _ in range(5):
            update()
            seen.append(learner.parameters.weights.clone())
    assert not any(torch.equal(*pair) for pair in itertools.pairwise(seen))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_an_update_of_a_perceptron_is_captured() -> None:
    cohorts, graphs, tasks = map(importlib.import_module, ("cohorts", "graphs", "tasks"))
    cuda = torch.device("cuda")
    trials, data = cohorts.make_cohort(tasks.TASKS["mlp-32"], 4, epochs=1, device=cuda)
    assert 0 < graphs.seconds_as_graph(trials, data) < 1
