"""A diagnosis as text: verdict, arithmetic, table, findings, and what was not looked at."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich.text import Text

from dltune.diagnosis.components import Component
from dltune.diagnosis.finding import Diagnosis, Edit, Finding, Verdict
from dltune.diagnosis.wording import decimals_for, percent, points, short_percent, span

WIDEST_TEXT = 100  # longer lines are hard to read, however wide the terminal is
HARD_BLANK = "\u00a0"
INDENT = 2
LABEL = 7  # "doubt" and two blanks
STYLES = {"error": "bold red", "warning": "bold yellow", "info": "bold"}


def render_diagnosis(diagnosis: Diagnosis, *, title: str = "", width: int = 80) -> Text:
    """One diagnosis, wrapped at a width; it reads the same without colour.

    title  what was diagnosed; stands before the verdict.
    width  columns, at least 40; text is never wider than 100.

    >>> from dltune.diagnosis.components import Errors
    >>> from dltune.diagnosis.verdict import diagnose
    >>> print(render_diagnosis(diagnose(Errors(train=0.01, dev=0.02))).plain.split("\\n")[0])
    fine at a tolerance of 2 points
    """
    width = min(width, WIDEST_TEXT)
    headline = f"{title}: {diagnosis.headline}" if title else diagnosis.headline
    style = "bold green" if diagnosis.clean else STYLES["error"]
    blocks = [_paragraph(headline, width, style=style)]
    if diagnosis.components:
        blocks.append(_paragraph(diagnosis.arithmetic, width))
        blocks.append(_component_table(diagnosis))
    blocks += [_finding(finding, diagnosis, width) for finding in diagnosis.findings]
    not_checked = [f"{skipped.check}: {skipped.reason}" for skipped in diagnosis.skipped]
    blocks += _section("Not checked", not_checked, width)
    blocks += _section("Notes", diagnosis.notes, width)
    return Text("\n\n").join(blocks)


def _paragraph(text: str, width: int, *, style: str = "") -> Text:
    return Text("\n".join(_wrap(text, width)), style=style)


def _wrap(text: str, width: int, *, first: str = "", later: str = "") -> list[str]:
    # An interval and a number with its unit stay on one line; textwrap breaks at plain blanks only.
    kept = re.sub(r"\[[^\]]*\]| %", lambda found: found[0].replace(" ", HARD_BLANK), text)
    lines = textwrap.wrap(
        kept,
        width,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(HARD_BLANK, " ") for line in lines]


def _section(title: str, lines: Iterable[str], width: int) -> list[Text]:
    block = Text(title, style="bold")
    empty = True
    for line in lines:
        indent = " " * INDENT
        wrapped = _wrap(line, width, first=indent, later=2 * indent)
        block.append("\n" + "\n".join(wrapped), style="not bold")
        empty = False
    return [] if empty else [block]


def _decimals(diagnosis: Diagnosis) -> int:
    errors = diagnosis.errors
    if errors is None:
        return 1
    shown = (errors.train, errors.dev, errors.target, errors.train_dev, errors.test)
    return decimals_for(error for error in shown if error is not None)


def _component_table(diagnosis: Diagnosis) -> Text:
    decimals = _decimals(diagnosis)
    title = f"{short_percent(diagnosis.confidence)} interval"
    with_interval = any(part.interval is not None for part in diagnosis.components)
    rows = [("component", "points", title if with_interval else "", "high")]
    for part in diagnosis.components:
        shown = "-" if part.interval is None else span(part.interval, decimals)
        size = points(part.size, decimals)
        rows.append((part.name, size, shown if with_interval else "", _answer(part)))
    return _table(rows, right=(1,))


def _answer(part: Component) -> str:
    if part.unclear:
        return "unclear"
    return "yes" if part.high else "no"


def _table(rows: Sequence[Sequence[str]], *, right: Sequence[int]) -> Text:
    """Columns as wide as their widest cell, two blanks apart; empty columns are left out."""
    columns = [column for column in range(len(rows[0])) if any(row[column] for row in rows)]
    widths = {column: max(len(row[column]) for row in rows) for column in columns}
    lines = []
    for row in rows:
        cells = [
            row[column].rjust(widths[column])
            if column in right
            else row[column].ljust(widths[column])
            for column in columns
        ]
        lines.append((" " * INDENT + "  ".join(cells)).rstrip())
    table = Text(lines[0], style="dim")
    table.append("\n" + "\n".join(lines[1:]), style="not dim")
    return table


def _finding(finding: Finding, diagnosis: Diagnosis, width: int) -> Text:
    head = f"{finding.id} {finding.name} ({finding.severity})"
    block = Text(head, style=STYLES[finding.severity])
    lines = [
        ("seen", finding.evidence),
        ("means", finding.reading),
        *_labelled("try", "or", [edit_words(edit) for edit in finding.edits]),
        *_labelled("also" if finding.edits else "try", "", finding.advice),
    ]
    if finding.ceiling is not None:
        gain = f"at most {points(finding.ceiling, _decimals(diagnosis))} points, if it were cured"
        lines.append(("gain", gain))
    if finding.doubt:
        lines.append(("doubt", finding.doubt))
    for label, text in lines:
        first = " " * INDENT + label.ljust(LABEL)
        wrapped = _wrap(text, width, first=first, later=" " * len(first))
        block.append("\n" + "\n".join(wrapped), style="not bold default")
    return block


def _labelled(first: str, later: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    return [(later if index else first, text) for index, text in enumerate(texts)]


def edit_words(edit: Edit) -> str:
    """An edit in one line.

    >>> edit_words(Edit(key="model.hidden", before=[128], after=[256], reason="more units"))
    'model.hidden [128] -> [256]: more units'
    >>> edit_words(Edit(key="train.epochs", before=None, after="x2", reason="more time"))
    'train.epochs x2: more time'
    """
    if edit.before is None and isinstance(edit.after, str):
        return f"{edit.key} {edit.after}: {edit.reason}"
    before = "unset" if edit.before is None else toml_value(edit.before)
    return f"{edit.key} {before} -> {toml_value(edit.after)}: {edit.reason}"


def toml_value(value: Any) -> str:
    """A value the way a recipe has it, floats with four digits.

    >>> toml_value({"log": [0.0001, 0.01]}), toml_value(True), toml_value("relu")
    ('{log = [0.0001, 0.01]}', 'true', '"relu"')
    >>> toml_value(0.0006040462538678254), toml_value([64, 64])
    ('0.000604', '[64, 64]')
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_value(each)}" for key, each in value.items()) + "}"
    # Four digits tell a setting; the JSON form of the edit has them all.
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def render_trials(
    diagnoses: Sequence[Diagnosis], *, title: str, best: int | None, width: int = 80
) -> Text:
    """One row a trial, and how often each verdict was given.

    title  which run it is.
    best   number of the best complete trial, which gets a star; None if there is none.
    """
    # One number of decimals for the whole table; a third would serve a few rows at the cost of all.
    decimals = min(2, max(map(_decimals, diagnoses), default=1))
    rows = [("trial", "state", "train", "dev", "bias", "variance", "verdict")]
    for diagnosis in diagnoses:
        mark = "*" if diagnosis.trial == best else ""
        rows.append(
            (
                f"{diagnosis.trial}{mark}",
                diagnosis.state or "",
                *_numbers(diagnosis, decimals),
                diagnosis.verdict.value,
            )
        )
    counted = Counter(diagnosis.verdict for diagnosis in diagnoses)
    counts = [f"{counted[verdict]} {verdict.value}" for verdict in Verdict if counted[verdict]]
    blocks = [
        _paragraph(f"{title}: {', '.join(counts)}", min(width, WIDEST_TEXT), style="bold"),
        _table(rows, right=(0, 2, 3, 4, 5)),
    ]
    if best is not None:
        blocks.append(Text("* the best trial"))
    return Text("\n\n").join(blocks)


def _numbers(diagnosis: Diagnosis, decimals: int) -> tuple[str, str, str, str]:
    errors = diagnosis.errors
    if errors is None:
        return "-", "-", "-", "-"
    sizes = {part.name: points(part.size, decimals) for part in diagnosis.components}
    train, dev = percent(errors.train, decimals), percent(errors.dev, decimals)
    return train, dev, sizes["bias"], sizes["variance"]
