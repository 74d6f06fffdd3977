"""The runs of a folder as a table, one line a run."""

from __future__ import annotations

import dataclasses
import datetime
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dltune.errors import escaped
from dltune.report.numbers import MINUTE, show_error, show_seconds, show_value
from dltune.report.tables import GAP, Column, draw_columns
from dltune.report.terminal import PLAIN_WIDTH, cut_end, cut_middle, render
from dltune.runs.overview import COMPLETE, DAMAGED, RUNNING, Overview

# Shorter names cannot be told apart any more, and two words of a note say more than how long the
# run took: before that, columns are left out, in this order.
NAME_LEAST, NOTE_LEAST = 16, 16
LEFT_OUT_FIRST = ("took", "command", "when", "trials", "best dev\nerror")
STYLES = {COMPLETE: "", RUNNING: "green", DAMAGED: "red"}
OTHER_STYLE = "yellow"  # it was stopped, by whatever it was
# What the commands that train no trials of their own find: by which word it is shown, and under
# which key it stands in their documents.
FINDS = {"lr-find": ("lr", "suggestion"), "batch-find": ("batch", "recommended")}


def render_runs(
    runs: Sequence[Overview],
    *,
    now: datetime.datetime,
    width: int = PLAIN_WIDTH,
    color: bool = False,
) -> str:
    """The runs in the order given, one line each, and why damaged ones cannot be read.

    now  with the time zone in which times are shown.
    """
    columns, left_out = _fitting(_columns(runs, now), width)
    styles = [STYLES.get(one.state, OTHER_STYLE) for one in runs]
    parts = [render(draw_columns(columns, styles), width=width, color=color)]
    problems = [escaped(f"{one.path.name}: {one.problem}") for one in runs if one.problem]
    for line in [*left_out, *problems]:
        parts += textwrap.wrap(line, width, subsequent_indent="  ")
    return "\n".join(parts)


def runs_document(runs_dir: Path, runs: Sequence[Overview]) -> dict[str, Any]:
    """The runs as plain values for JSON, in the order given."""
    return {"runs_dir": str(runs_dir), "runs": [run_document(one) for one in runs]}


def run_document(one: Overview) -> dict[str, Any]:
    """One run; null for what is not known, and everywhere if it is damaged.

    best     the objective of the best trial, in units of `metric`.
    found    what a command found that trains no trials: {"lr": 0.005} or {"batch": 256}.
    started  in UTC; of the last session, like `ended` and `command_line`.
    problem  why the run cannot be read.
    """
    about = one.about
    sessions = () if about is None else about.sessions
    last = sessions[-1] if sessions else None
    return {
        "name": one.path.name,
        "run": str(one.path),
        "command": about and about.command,
        "state": one.state,
        "trials": about and one.done,
        "wanted": about and about.trials,
        "metric": about and about.metric,
        "best": one.best and one.best.objective,
        "found": found_in(one),
        "started": last and last.started,
        "ended": last and last.ended,
        "seconds": one.seconds,
        "sessions": about and len(about.sessions),
        "command_line": last and last.command_line,
        "accepted": [change for session in sessions for change in session.accepted],
        "note": one.note,
        "problem": one.problem or None,
    }


def found_in(one: Overview) -> dict[str, Any] | None:
    """What a command found that trains no trials of its own; None where that is nothing."""
    if one.about is None or one.result is None or one.about.command not in FINDS:
        return None
    word, key = FINDS[one.about.command]
    return None if one.result.get(key) is None else {word: one.result[key]}


def _remark(one: Overview) -> str:
    """The note, behind what must not be overlooked."""
    sessions = () if one.about is None else one.about.sessions
    went_on = "went on with changes" if any(session.accepted for session in sessions) else ""
    return "; ".join(filter(None, [went_on, one.note]))


def _columns(runs: Sequence[Overview], now: datetime.datetime) -> dict[str, Column]:
    """By title, in the order of the table."""
    cells = {
        "name": [escaped(one.path.name) for one in runs],
        "command": ["-" if one.about is None else one.about.command for one in runs],
        "state": [one.state for one in runs],
        "trials": [show_trials(one) for one in runs],
        "best dev\nerror": [show_best(one) for one in runs],
        "when": [show_when(one.began, now) for one in runs],
        "took": [show_took(one.seconds) for one in runs],
        "note": [escaped(_remark(one)) for one in runs],
    }
    texts = ("name", "command", "state", "note")
    return {
        title: Column(title=title, cells=tuple(map(escaped, column)), left=title in texts)
        for title, column in cells.items()
    }


def _fitting(columns: dict[str, Column], width: int) -> tuple[list[Column], list[str]]:
    """As many columns as fit, the names and notes cut, and a line about what is missing."""
    name, note = columns.pop("name"), columns.pop("note")
    name_least = min(name.width, NAME_LEAST)
    note_least = GAP + min(note.width, NOTE_LEAST) if any(note.cells) else 0
    left_out = []
    for title in LEFT_OUT_FIRST:
        if name_least + _wide(columns) + note_least > width:
            del columns[title]
            left_out.append(title.replace("\n", " "))
    if note_least and name_least + _wide(columns) + note_least > width:
        note_least = 0
        left_out.append("note")
    room = width - _wide(columns)
    shown_name = _cut(name, cut_middle, max(min(name.width, room - note_least), 1))
    chosen = [shown_name, *columns.values()]
    if note_least:
        chosen.append(_cut(note, cut_end, max(room - shown_name.width - GAP, 1)))
    missing = [f"not shown: {', '.join(left_out)}"] if left_out else []
    missing += ["names are cut"] if shown_name != name else []
    advice = "a wider terminal, or --json, has room"
    return chosen, [f"{'; '.join(missing)}; {advice}"] if missing else []


def _wide(columns: Mapping[str, Column]) -> int:
    return sum(GAP + column.width for column in columns.values())


def _cut(column: Column, cut: Callable[[str, int], str], width: int) -> Column:
    return dataclasses.replace(column, cells=tuple(cut(cell, width) for cell in column.cells))


def show_trials(one: Overview) -> str:
    """How many trials are done of those that are wanted; "-" where there are none to train."""
    if one.about is None or not one.about.trials:
        return "-"
    return f"{one.done}/{one.about.trials}"


def show_best(one: Overview) -> str:
    """The best dev error; with a word where it is something else, "-" where it is nothing."""
    if one.about is None:
        return "-"
    if found := found_in(one):
        return ", ".join(f"{word} {show_value(value)}" for word, value in found.items())
    if one.best is None:
        return "-"
    shown = show_error(one.best.objective)
    return f"loss {shown}" if one.about.metric == "dev_loss" else shown


def show_when(began: datetime.datetime | None, now: datetime.datetime) -> str:
    """The day and the time, of another year the day alone; in the time zone of `now`.

    >>> now = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
    >>> [show_when(now - datetime.timedelta(days), now) for days in (1, 100)], show_when(None, now)
    (['Feb 28 12:00', 'Nov 21 2025'], '-')
    """
    if began is None:
        return "-"
    local = began.astimezone(now.tzinfo)
    return local.strftime("%b %d %H:%M" if local.year == now.year else "%b %d %Y")


def show_took(seconds: float | None) -> str:
    """A duration; sessions are noted to the second.

    >>> show_took(7.0), show_took(75.0), show_took(None)
    ('7 s', '1 min 15 s', '-')
    """
    if seconds is None:
        return "-"
    return f"{seconds:.0f} s" if seconds < MINUTE else show_seconds(seconds)
