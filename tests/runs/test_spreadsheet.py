"""CSV files that a spreadsheet program has saved: nothing of them is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from dltune.runs.rebuild import rebuild_csv
from dltune.runs.run import load_run
from dltune.runs.spreadsheet import rows_of
from tests.runs.folders import make_run

Saved = Callable[[str], str]


def reordered(text: str) -> str:
    rows = [line.split(",") for line in text.splitlines()]
    return "".join(",".join(reversed(row)) + "\n" for row in rows)


def quoted(text: str) -> str:
    rows = [line.split(",") for line in text.splitlines()]
    return "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows)


FORMS: dict[str, Saved] = {
    "semicolons": lambda text: text.replace(",", ";"),
    "German": lambda text: text.replace(",", ";").replace(".", ","),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "BOM": lambda text: "\ufeff" + text,
    "quotes": quoted,
    "tabs": lambda text: text.replace(",", "\t"),
    "reordered": reordered,
}


@pytest.fixture(name="run")
def fixture_run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "runs" / "wine")


@pytest.mark.parametrize("form", FORMS)
def test_a_history_is_taken_over_and_kept(run: Path, form: str) -> None:
    history = run / "history.csv"
    ours = history.read_bytes()
    before = load_run(run).trials
    saved = FORMS[form](history.read_bytes().decode()).encode()
    history.write_bytes(saved)
    assert load_run(run).trials == before  # and reading changes nothing
    assert history.read_bytes() == saved
    notes = rebuild_csv(run)
    assert history.read_bytes() == ours
    assert notes == [
        f"{history} was saved by another program: it is kept as history-changed.csv, "
        "and written anew"
    ]
    assert (run / "history-changed.csv").read_bytes() == saved
    assert rebuild_csv(run) == []


def test_a_history_that_cannot_be_understood_is_kept(run: Path) -> None:
    history = run / "history.csv"
    for name in ("history-changed.csv", "history-changed-2.csv"):
        history.write_text("my notes\n0 was bad\n")
        assert name in rebuild_csv(run)[0]
        assert (run / name).read_text() == "my notes\n0 was bad\n"
        assert history.read_text().startswith("trial,epoch,")


@pytest.mark.parametrize("form", FORMS)
def test_trials_are_written_anew_from_the_journal(run: Path, form: str) -> None:
    trials = run / "trials.csv"
    ours = trials.read_bytes()
    saved = FORMS[form](trials.read_bytes().decode()).encode()
    trials.write_bytes(saved)
    assert len(rebuild_csv(run)) == 1
    assert trials.read_bytes() == ours
    assert (run / "trials-changed.csv").read_bytes() == saved


@pytest.mark.parametrize("content", [b"", b"trial", b"trial,st", b"trial,state,reason\n0,com"])
def test_what_a_killed_writer_leaves_is_not_kept(run: Path, content: bytes) -> None:
    ours = (run / "trials.csv").read_bytes()
    (run / "trials.csv").write_bytes(content)
    assert rebuild_csv(run) == []
    assert (run / "trials.csv").read_bytes() == ours


def test_rows_are_read_in_any_form() -> None:
    """Random tables of numbers, each in every form."""
    chance = random.Random(0)
    columns = ["trial", "epoch", "lr"]
    for _ in range(20):
        numbers = [[chance.randrange(9), chance.randrange(9), chance.random()] for _ in range(5)]
        rows = [list(map(str, row)) for row in numbers]
        text = "".join(",".join(row) + "\n" for row in [columns, *rows])
        for form in FORMS.values():
            assert rows_of(form(text), columns) == rows


@pytest.mark.parametrize("text", ["", "trial;epoch\n", "\0\n", 'trial,"lr\n', "\n\n\n"])
def test_other_tables_are_not_taken(text: str) -> None:
    assert rows_of(text, ["trial", "lr"]) is None
