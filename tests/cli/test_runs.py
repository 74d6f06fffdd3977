"""`dltune runs`: the list, the comparison, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

import pytest

from dltune.runs.lock import FolderLock
from tests.runs.folders import damage, make_run, session


@pytest.fixture
def runs(study: Path, folder: Path) -> Path:
    """`runs` with a real search, `four`, and a made-up one that was killed earlier, `wine`."""
    shutil.copytree(study, folder / "runs" / "four")
    make_run(folder / "runs" / "wine", sessions=[session(ended=None)])
    return Path("runs")


def test_the_list(dltune, runs: Path) -> None:
    done = dltune("runs")
    assert (done.code, done.err) == (0, "next: dltune report runs/four  (the newest in detail)\n")
    header, names, four, wine = done.out.splitlines()
    assert (header.split(), names.split()[:4]) == (
        ["best", "dev"],
        ["name", "command", "state", "trials"],
    )
    assert four.split()[:4] == ["four", "search", "complete", "4/4"]
    assert wine.split()[:5] == ["wine", "search", "killed", "2/2", "0.2500"]


def test_the_list_as_json(dltune, runs: Path) -> None:
    document = json.loads(dltune("runs", "--json").out)
    four, wine = document["runs"]
    reported = json.loads(dltune("report", "four", "--json").out)
    assert four["best"] == reported["best"]["objective"]
    assert (four["name"], four["trials"], four["wanted"]) == ("four", 4, 4)
    assert (wine["state"], wine["ended"], wine["seconds"]) == ("killed", None, None)


def test_a_damaged_run_among_good_ones(dltune, runs: Path) -> None:
    damage(make_run(runs / "spoilt"))
    done = dltune("runs")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()[2:6]] == [
        "spoilt",
        "four",
        "wine",
        "spoilt:",
    ]
    assert done.err.startswith("next: dltune report runs/four ")  # not the damaged one


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no lock there")
def test_a_run_in_which_somebody_writes(dltune, runs: Path) -> None:
    lock = FolderLock(runs / "wine")
    document = json.loads(dltune("runs", "--json").out)
    shown = dltune("runs", "four", "wine").out
    lock.release()
    assert [one["state"] for one in document["runs"]] == ["complete", "running"]
    assert "  state  " in shown
    assert "running" in shown


@pytest.mark.parametrize("place", ["none", "empty"])
def test_nothing_to_list(place: str, dltune, folder: Path) -> None:
    (folder / "empty").mkdir()
    done = dltune("runs", "--runs-dir", place)
    says = {"none": "no runs: there is no folder none\n", "empty": "no runs in empty\n"}
    assert (done.code, done.out) == (0, says[place])
    assert done.err == (
        "next: dltune search RECIPE --trials 32  (a first run; RECIPE is a TOML file)\n"
    )
    assert json.loads(dltune("runs", "--runs-dir", place, "--json").out)["runs"] == []


def test_two_runs_by_name_and_by_path(dltune, runs: Path, folder: Path) -> None:
    make_run(folder / "elsewhere" / "better", [0.125])
    done = dltune("runs", "wine", "elsewhere/better")
    assert done.code == 0
    assert "\n\ndev error: 0.1250 lower in better (" in done.out
    assert done.err == (
        "next: dltune diagnose elsewhere/better  (bias or variance, and what to change)\n"
    )


def test_two_runs_as_json(dltune, runs: Path) -> None:
    document = json.loads(dltune("runs", "four", "wine", "--json").out)
    assert [one["name"] for one in document["runs"]] == ["four", "wine"]
    assert document["comparable"] is False
    assert "data" in [one["name"] for one in document["obstacles"]]
    assert document["difference"] is None


def test_runs_of_other_data_are_called_that_first(dltune, runs: Path) -> None:
    shown = dltune("runs", "four", "wine").out
    assert shown.startswith("the errors cannot be compared: the data are not the same\n")


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (
            ["four"],
            "dltune runs compares two runs, and four is one",
            "Name a second one, or see the run: dltune report four",
        ),
        (
            ["four", "wine", "four"],
            "dltune runs compares two runs, not 3: four, wine, four",
            "Name two: dltune runs A B",
        ),
        (
            ["four", "wien"],
            "there is no run wien, neither as a folder nor in runs",
            "Did you mean wine? Runs in runs: four, wine.",
        ),
        (
            ["--runs-dir", "tiny.toml"],
            "--runs-dir tiny.toml is a file: a folder of run folders is needed",
            "Try --runs-dir ..",
        ),
    ],
    ids=["one", "three", "none of that name", "a file"],
)
def test_what_is_refused(arguments: list[str], error: str, hint: str, dltune, runs: Path) -> None:
    done = dltune("runs", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: {error}\n{hint}\n"


def test_a_damaged_run_cannot_be_compared(dltune, runs: Path) -> None:
    damage(make_run(runs / "spoilt"))
    done = dltune("runs", "four", "spoilt")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert "study.journal: damaged, or not of a dltune study" in done.err


def test_no_escape_reaches_the_terminal(dltune, folder: Path) -> None:
    make_run(Path("runs") / "a\x1b[31m", sessions=[session(note="\x1b[2J")])
    make_run(Path("runs") / "b")
    for arguments in ([], ["a\x1b[31m", "b"], ["c"], ["c", "b"], ["a\x1b[31n", "b"]):
        done = dltune("runs", *arguments)
        assert "\x1b" not in done.out + done.err
    assert r"Runs in runs: a\x1b[31m, b." in dltune("runs", "c", "b").err


@pytest.mark.skipif(sys.platform == "win32", reason="the zone of a process cannot be changed")
def test_times_are_those_of_the_clock_on_the_wall(
    dltune, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(runs / "wine-2", sessions=[session("2020-06-30T23:30:00+00:00")])
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert "Jul 01 2020" in dltune("runs").out
    finally:
        monkeypatch.undo()
        time.tzset()
