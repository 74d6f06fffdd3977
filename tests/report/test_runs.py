"""The list of runs: one line each at any width, and the same as a document."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from dltune.report.runs import render_runs, runs_document, show_best, show_when
from dltune.runs.overview import Overview, overviews
from tests.runs.folders import damage, make_old_run, make_run, session

NOW = datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC)


@pytest.fixture(name="runs")
def fixture_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Overview]:
    """One of each kind, in the folder `runs`."""
    monkeypatch.chdir(tmp_path)
    place = Path("runs")

    def at(day: int, **fields: object) -> list[object]:
        start = f"2026-01-{day:02d}T10:00:00+00:00"
        end = f"2026-01-{day:02d}T10:01:15+00:00"
        return [session(start, **{"ended": end, **fields})]

    make_run(place / "wine-1", sessions=at(9, note="the first try, wide ranges"))
    make_run(place / "wine-2", [None, 0.125], trials=64, sessions=at(8, ending="interrupted"))
    make_run(place / "wine-3", metric="dev_loss", sessions=at(7, ended=None))
    found = {"suggestion": 0.0054}
    for name, command, day in (("wine-4", "lr-find", 6), ("wine-5", "batch-find", 5)):
        run = make_run(place / name, [], command=command, strategy="", sessions=at(day))
        (run / "result.json").write_text(json.dumps({"recommended": None, **found}))
    make_old_run(place / "older")
    damage(make_run(place / "spoilt"))
    found_runs = overviews(place, now=NOW)
    return sorted(found_runs, key=lambda one: one.path.name)


def test_the_list_at_80_columns(runs: list[Overview], golden: Callable[[str], str]) -> None:
    assert render_runs(runs, now=NOW) == golden("runs.txt")


def test_a_wide_terminal_has_room_for_all(
    runs: list[Overview], golden: Callable[[str], str]
) -> None:
    assert render_runs(runs, now=NOW, width=120) == golden("runs_wide.txt")


@pytest.mark.parametrize("width", [30, 40, 50, 60, 70, 80, 90, 100])
def test_one_line_a_run_at_any_width(runs: list[Overview], width: int) -> None:
    lines = render_runs(runs, now=NOW, width=width).split("\n")
    assert max(map(cell_len, lines)) <= width
    header = next(number for number, line in enumerate(lines) if line.startswith("name"))
    names = [line.split()[0] for line in lines[header + 1 : header + 1 + len(runs)]]
    assert names == [one.path.name for one in runs]


def test_long_names_keep_both_ends(tmp_path: Path) -> None:
    name = "wine-with-everything-that-could-be-thought-of-and-some-more-in-its-name-12"
    make_run(tmp_path / name)
    shown = render_runs(overviews(tmp_path, now=NOW), now=NOW)
    assert "\nwine-wit…-name-12  search   complete" in shown
    assert shown.endswith("\nnames are cut; a wider terminal, or --json, has room")


def test_wide_characters_take_two_columns(tmp_path: Path) -> None:
    make_run(tmp_path / "ワイン", sessions=[session(note="広い範囲で最初に試したもの、学習率も")])
    shown = render_runs(overviews(tmp_path, now=NOW), now=NOW)
    assert max(map(cell_len, shown.split("\n"))) <= 80
    assert "ワイン" in shown
    assert "広い範囲で" in shown


def test_no_escape_reaches_the_terminal(tmp_path: Path) -> None:
    spoilt = damage(make_run(tmp_path / "b\x1b[2J"))
    make_run(tmp_path / "a\x9b31m", sessions=[session(note="two\nlines\x1b]0;title\x07 \u202e")])
    found = overviews(tmp_path, now=NOW)
    shown = render_runs(found, now=NOW, width=200)
    assert all(one.isprintable() for one in shown.replace("\n", ""))
    for text in (r"a\x9b31m", r"b\x1b[2J", r"two\nlines\x1b]0;title\x07 \u202e"):
        assert text in shown
    assert spoilt.name in [one["name"] for one in runs_document(tmp_path, found)["runs"]]


def test_colour_tells_states_apart(runs: list[Overview]) -> None:
    plain, coloured = (render_runs(runs, now=NOW, color=color) for color in (False, True))
    assert "\x1b[" not in plain
    rows = coloured.split("\n")[2:]
    for name, code in (("older", 33), ("spoilt", 31), ("wine-2", 33)):
        (row,) = (row for row in rows if name in row and "study.journal" not in row)
        assert f"\x1b[{code}m" in row
    assert not any("\x1b" in row for row in rows if "wine-1" in row)


def test_time_is_told_in_the_zone_of_now() -> None:
    began = datetime.datetime(2026, 1, 1, 22, 30, tzinfo=datetime.UTC)
    tokyo = datetime.timezone(datetime.timedelta(hours=9))
    assert show_when(began, NOW.astimezone(tokyo)) == "Jan 02 07:30"
    assert show_when(began, NOW.replace(year=2027)) == "Jan 01 2026"


def test_what_the_best_is(runs: list[Overview]) -> None:
    shown = {one.path.name: show_best(one) for one in runs}
    assert shown == {
        "wine-1": "0.2500",
        "wine-2": "0.1250",
        "wine-3": "loss 0.2500",
        "wine-4": "lr 0.0054",
        "wine-5": "-",
        "older": "-",
        "spoilt": "-",
    }


def test_the_document(runs: list[Overview]) -> None:
    document = json.loads(json.dumps(runs_document(Path("runs"), runs)))
    assert document["runs_dir"] == "runs"
    by_name = {one["name"]: one for one in document["runs"]}
    assert by_name["wine-1"] == {
        "name": "wine-1",
        "run": "runs/wine-1",
        "command": "search",
        "state": "complete",
        "trials": 2,
        "wanted": 2,
        "metric": "dev_error",
        "best": 0.25,
        "found": None,
        "started": "2026-01-09T10:00:00+00:00",
        "ended": "2026-01-09T10:01:15+00:00",
        "seconds": 75.0,
        "sessions": 1,
        "command_line": "dltune search wine.toml",
        "accepted": [],
        "note": "the first try, wide ranges",
        "problem": None,
    }
    assert by_name["wine-4"]["found"] == {"lr": 0.0054}
    assert by_name["older"]["started"] is None
    spoilt = by_name["spoilt"]
    assert spoilt["problem"].startswith("runs/spoilt/study.journal: damaged")
    assert {key for key, value in spoilt.items() if value} == {"name", "run", "state", "problem"}
