"""Two runs side by side, as text and as a document."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len

from dltune.errors import escaped
from dltune.report.document import trial_document
from dltune.report.numbers import count_of, show_error, show_seconds, show_value
from dltune.report.runs import found_in, run_document, show_best, show_took, show_trials
from dltune.report.terminal import PLAIN_WIDTH, cut_middle
from dltune.runs.comparison import Comparison, Difference
from dltune.runs.overview import Overview
from dltune.runs.run import Run
from dltune.training.history import TrialRecord

INDENT, GAP = "  ", 2
DIGEST = re.compile(r"[0-9a-f]{40,}")
DIGEST_SHOWN = 10  # of its digits, enough to tell two apart
Row = tuple[str, str, str]  # what it is, and what the first and the second run have
ERRORS = ("train_error", "dev_error", "test_error")


def render_comparison(
    comparison: Comparison, overviews: tuple[Overview, Overview], *, width: int = PLAIN_WIDTH
) -> str:
    """Whether the runs can be compared, what each came to, and in what they differ.

    overviews  of the first and of the second run.
    """
    names = _names(comparison)
    results = [*_results(comparison, overviews), *_values(comparison)]
    recipe = [_row(one) for one in comparison.recipe or ()]
    conditions = [_row(one) for one in comparison.conditions]
    table = _Table.fitting([results, recipe, conditions], names, width)
    parts = [
        _wrapped(_obstacles(comparison, names), width),
        "\n".join([table.line("", *names), *table.lines(results)]),
        _wrapped(_difference(comparison, names), width),
        _wrapped(f"the recipe cannot be read: {escaped(comparison.problem)}", width)
        if comparison.recipe is None
        else "\n".join(["the recipes differ in:", *table.lines(recipe)])
        if recipe
        else "the recipes are the same",
        "\n".join(["the conditions differ in:", *table.lines(conditions)])
        if conditions
        else "the conditions are the same",
    ]
    return "\n\n".join(filter(None, parts))


def comparison_document(
    comparison: Comparison, overviews: tuple[Overview, Overview]
) -> dict[str, Any]:
    """The comparison as plain values for JSON.

    runs        what the list says of each, how many trials ended in which state, and the best one.
    difference  of the dev errors of the best trials, second - first; null where they cannot be
                compared.
    recipe      where the recipes differ, as TOML text; null where one cannot be read.
    """
    runs = (comparison.first, comparison.second)
    return {
        "comparable": not comparison.obstacles,
        "obstacles": [dataclasses.asdict(one) for one in comparison.obstacles],
        "runs": [
            run_document(one)
            | {"states": run.states, "best_trial": run.best and trial_document(run.best)}
            for run, one in zip(runs, overviews, strict=True)
        ],
        "difference": comparison.dev_error,
        "recipe": comparison.recipe and [dataclasses.asdict(one) for one in comparison.recipe],
        "recipe_problem": comparison.problem or None,
        "conditions": [dataclasses.asdict(one) for one in comparison.conditions],
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Table:
    """Rows of three columns; one that is too wide for them takes several lines.

    label, first, second  the widths of the columns.
    """

    label: int
    first: int
    second: int
    width: int
    names: Sequence[str]

    @classmethod
    def fitting(cls, sections: Sequence[Sequence[Row]], names: Sequence[str], width: int) -> _Table:
        """Columns as wide as the rows need them, and half of the room each at most."""
        rows = [("", *names), *(row for rows in sections for row in rows)]
        label = min(max(cell_len(row[0]) for row in rows), width // 3)
        room = width - len(INDENT) - label - 2 * GAP
        first = min(max(cell_len(row[1]) for row in rows), room // 2)
        return cls(label=label, first=first, second=room - first, width=width, names=names)

    def lines(self, rows: Sequence[Row]) -> Iterator[str]:
        for label, first, second in rows:
            fits = cell_len(label) <= self.label and cell_len(first) <= self.first
            if fits and cell_len(second) <= self.second:
                yield self.line(label, first, second)
                continue
            yield f"{INDENT}{label}"
            for name, value in zip(self.names, (first, second), strict=True):
                yield from textwrap.wrap(
                    f"{cut_middle(name, self.first)}: {value}",
                    self.width,
                    initial_indent=INDENT * 2,
                    subsequent_indent=INDENT * 3,
                )

    def line(self, label: str, first: str, second: str) -> str:
        """One line; what is too wide is cut."""
        cells = [cut_middle(first, self.first), cut_middle(second, self.second)]
        line = f"{INDENT}{_padded(label, self.label)}  {_padded(cells[0], self.first)}  {cells[1]}"
        return line.rstrip()


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - cell_len(text))


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width))


def _names(comparison: Comparison) -> list[str]:
    """By which the runs are told apart: their paths where both have the same name."""
    runs = (comparison.first, comparison.second)
    is_same = runs[0].name == runs[1].name
    return [escaped(str(run.path) if is_same else run.name) for run in runs]


def _obstacles(comparison: Comparison, names: Sequence[str]) -> str:
    said = [
        "the data are not the same"
        if one.name == "data"
        else f"{one.name} is {_said(one.first)} in {names[0]}, {_said(one.second)} in {names[1]}"
        for one in comparison.obstacles
    ]
    return f"the errors cannot be compared: {'; '.join(said)}" if said else ""


def _difference(comparison: Comparison, names: Sequence[str]) -> str:
    """How far apart the dev errors are, and of how many examples that is."""
    difference, one, other = comparison.dev_error, comparison.first.best, comparison.second.best
    if difference is None or one is None or other is None:
        return ""
    sizes = {best.examples.get("dev") for best in (one, other)}
    size = sizes.pop() if len(sizes) == 1 else None
    of = ""
    if size is not None:
        is_counted = comparison.first.about.data.task == "classification"
        count = f"{abs(difference) * size:.0f} of " if is_counted and difference else ""
        of = f" ({count}{size:,} examples)"
    if difference == 0:
        return f"dev error: the same{of}"
    word = "higher" if difference > 0 else "lower"
    return f"dev error: {show_error(abs(difference))} {word} in {names[1]}{of}"


def _results(comparison: Comparison, overviews: tuple[Overview, Overview]) -> list[Row]:
    runs = (comparison.first, comparison.second)
    best = [run.best for run in runs]
    rows = [
        _in_columns("state", (one.state for one in overviews)),
        _in_columns("trials", map(_trials, runs, overviews)),
        _in_columns("took", (show_took(one.seconds) for one in overviews)),
        _in_columns("found", (show_best(one) if found_in(one) else "-" for one in overviews)),
        _in_columns("best trial", ("-" if one is None else str(one.number) for one in best)),
        *(
            _in_columns(name.replace("_", " "), (_error(one, name) for one in best))
            for name in ERRORS
        ),
        _in_columns("trained", map(_training, best)),
    ]
    if any(run.about.metric != "dev_error" for run in runs):
        rows.insert(-1, _in_columns("objective", (_error(one, "objective") for one in best)))
    return [row for row in rows if any(cell != "-" for cell in row[1:])]


def _in_columns(label: str, cells: Iterable[str]) -> Row:
    first, second = cells
    return label, first, second


def _trials(run: Run, one: Overview) -> str:
    """How many are done, and what became of those that are not complete."""
    states = [f"{count} {state}" for state, count in run.states.items() if state != "complete"]
    return ", ".join([show_trials(one), *states])


def _training(best: TrialRecord | None) -> str:
    return (
        "-" if best is None else f"{count_of(best.epochs, 'epoch')}, {show_seconds(best.seconds)}"
    )


def _error(best: TrialRecord | None, name: str) -> str:
    """An error with the number of examples behind it, as far as it is known."""
    value = None if best is None else getattr(best, name)
    if best is None or value is None:
        return "-"
    size = best.examples.get(name.removesuffix("_error"))
    return show_error(value) + (f" of {size:,}" if size else "")


def _values(comparison: Comparison) -> list[Row]:
    """What the best trials have where either run has a range; a fixed value too."""
    best = [one for one in (comparison.first.best, comparison.second.best) if one is not None]
    if len(best) < 2:
        return []
    names = dict.fromkeys([*best[0].values, *best[1].values])
    have = [{**one.config, **one.values} for one in best]
    return [
        _in_columns(
            escaped(name),
            (escaped(show_value(one[name])) if name in one else "-" for one in have),
        )
        for name in names
    ]


def _row(one: Difference) -> Row:
    return escaped(one.name), _said(one.first), _said(one.second)


def _said(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return escaped(text[:DIGEST_SHOWN] if DIGEST.fullmatch(text) else text)
