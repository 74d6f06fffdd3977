"""The tables of a study: its best trials, and the trials that came to nothing."""

from __future__ import annotations

import dataclasses
import itertools
import re
import textwrap
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

from dltune.errors import escaped
from dltune.recipe.space import Space
from dltune.report.numbers import count_of, show_error, show_seconds, show_value
from dltune.report.terminal import PLAIN_WIDTH, render, sparkline
from dltune.training.history import TrialRecord, TrialState, best_trials

BEST_SHOWN = 10  # fits a screen of 24 lines together with what stands around it
REASONS_SHOWN = 5
NUMBERS_SHOWN = 8
GAP = 2  # blanks between columns
# Of the columns that every search has, where a terminal is too narrow for all: a number that is cut
# is another number. Which trial it is and the dev error stay.
LEFT_OUT_FIRST = ("seconds", "best_epoch", "train_error")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """One column as text; `cells` in the order of the rows."""

    title: str
    cells: tuple[str, ...]
    left: bool = False

    @property
    def width(self) -> int:
        """Columns of the terminal that the widest line of the title or of a cell takes."""
        return max(map(cell_len, [*self.title.split("\n"), *self.cells]))


def render_best(
    trials: Sequence[TrialRecord],
    space: Space,
    *,
    metric: str = "dev_error",
    limit: int = BEST_SHOWN,
    width: int = PLAIN_WIDTH,
    color: bool = False,
) -> str:
    """The best trials as a table, the best at the top; empty text if none is complete.

    trials  of one study, in any order.
    space   its ranges; each path is one column, as many as fit into `width`. The others are named
             below the table.
    metric  what was minimised: `dev_error`, or `dev_loss`, which then has a column too.

    There is no column of test errors: choosing among trials by them would make the test split a
    second dev split. The test error of the best trial stands in `render_winner`.
    """
    best = best_trials(trials, limit)
    if not best:
        return ""
    measured = _measured_columns(best, metric)
    dropped: list[str] = []
    for name in LEFT_OUT_FIRST:
        if _wide(measured.values()) <= width:
            break
        del measured[name]
        dropped.insert(0, name)
    columns = list(measured.values())
    left_over = width - _wide(columns)
    for path, column in _searched_columns(best, space).items():
        if GAP + column.width <= left_over:
            left_over -= GAP + column.width
            columns.append(column)
        else:
            dropped.append(path)
    drawn: list[Table | Text] = [draw_columns(columns, ["green"])]
    if dropped:
        drawn.append(Text(f"not shown: {', '.join(dropped)}; see trials.csv", overflow="fold"))
    return render(Group(*drawn), width=width, color=color)


def render_winner(
    best: TrialRecord, *, trials: int, metric: str = "dev_error", width: int = PLAIN_WIDTH
) -> str:
    """The best trial in three lines: what it is, its errors, and how the metric came down.

    A terminal of fewer columns gets more lines.

    trials  of the study; of a single one it goes without saying that it is the best.
    """
    seconds = show_seconds(best.seconds)
    place = f"epoch {best.best_epoch} of {best.epochs}"
    if best.state is not TrialState.COMPLETE:
        place += f" ({best.state})"
    who = f"trial {best.number}, {place}" if trials > 1 else place
    lines = [f"best: {who}, {seconds}, {best.parameters:,} parameters"]
    errors = {"dev": best.dev_error, "train": best.train_error, "test": best.test_error}
    shown = [
        f"{split} error {show_error(error)}" for split, error in errors.items() if error is not None
    ]
    lines.append("   ".join(shown))
    curve = [float(getattr(record, metric)) for record in best.history]
    if len(curve) > 1:
        ends = f"{show_error(curve[0])} → {show_error(curve[-1])}"
        lines.append(f"{metric.replace('_', ' ')} by epoch  {sparkline(curve)}  {ends}")
    fit = [textwrap.wrap(line, width, break_long_words=False) for line in lines]
    return "\n".join(itertools.chain.from_iterable(fit))


def failures(trials: Sequence[TrialRecord]) -> dict[tuple[TrialState, str], list[int]]:
    """The numbers of the trials that did not complete, by state and reason; the commonest first.
    Pruned ones went well and are left out.

    Reasons that differ in the epoch only ("non-finite loss in epoch 3") count as one.
    """
    groups: dict[tuple[TrialState, str], list[int]] = {}
    for one in sorted(trials, key=lambda one: one.number):
        if one.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            reason = re.sub(r" (in|after) epoch \d+( of \d+)?$", "", one.reason)
            groups.setdefault((one.state, reason), []).append(one.number)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def render_failures(trials: Sequence[TrialRecord], *, width: int = PLAIN_WIDTH) -> str:
    """What became of the trials that did not complete; empty text if all did.

    >>> trials = [TrialRecord(number=number, seed=0, state=TrialState.DIVERGED,
    ...                       reason="non-finite loss in epoch 1") for number in (3, 5)]
    >>> print(render_failures(trials))
    2 of 2 trials did not complete:
      2 diverged: non-finite loss (trials 3, 5)
    """
    groups = failures(trials)
    if not groups:
        return ""
    total = sum(map(len, groups.values()))
    lines = [f"{total} of {count_of(len(trials), 'trial')} did not complete:"]
    for (state, reason), numbers in list(groups.items())[:REASONS_SHOWN]:
        listed = ", ".join(map(str, numbers[:NUMBERS_SHOWN]))
        listed += ", ..." if len(numbers) > NUMBERS_SHOWN else ""
        noun = "trial" if len(numbers) == 1 else "trials"
        why = f": {escaped(' '.join(reason.split()))}" if reason else ""
        text = f"{len(numbers)} {state}{why} ({noun} {listed})"
        lines += textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ")
    if len(groups) > REASONS_SHOWN:
        lines.append(f"  and {count_of(len(groups) - REASONS_SHOWN, 'other reason')} in trials.csv")
    return "\n".join(lines)


def _measured_columns(best: Sequence[TrialRecord], metric: str) -> dict[str, Column]:
    """The columns that every search has, by their names in trials.csv."""
    measured = {
        "#": ("#", [str(place + 1) for place in range(len(best))]),
        "trial": ("trial", [str(one.number) for one in best]),
        "dev_loss": ("dev\nloss", [show_error(one.dev_loss) for one in best]),
        "dev_error": ("dev\nerror", [show_error(one.dev_error) for one in best]),
        "train_error": ("train\nerror", [show_error(one.train_error) for one in best]),
        "best_epoch": ("best\nepoch", [str(one.best_epoch) for one in best]),
        "seconds": ("seconds", [f"{one.seconds:.1f}" for one in best]),
    }
    if metric != "dev_loss":
        del measured["dev_loss"]
    if any(one.state is not TrialState.COMPLETE for one in best):
        measured["state"] = ("state", [str(one.state) for one in best])
    return {
        name: Column(title=title, cells=tuple(cells)) for name, (title, cells) in measured.items()
    }


def _wide(columns: Iterable[Column]) -> int:
    """Columns of the terminal that so many take, side by side."""
    return sum(column.width + GAP for column in columns) - GAP


def _searched_columns(best: Sequence[TrialRecord], space: Space) -> dict[str, Column]:
    """One column a path: of ranges that exclude each other (options of a choice) a row has one.

    A choice that decides which others there are comes first: a learning rate means nothing without
    its optimizer, and the last columns are the first to find no room.
    """
    deciding = {dimension.parent for dimension in space.dimensions}
    names: dict[str, list[str]] = {}
    for dimension in sorted(space.dimensions, key=lambda one: one.name not in deciding):
        names.setdefault(dimension.path, []).append(dimension.name)
    titles = short_names(list(names))
    columns = {}
    for path, alternatives in names.items():
        given = [[one.values[name] for name in alternatives if name in one.values] for one in best]
        columns[path] = Column(
            title=titles[path].replace("_", "_\n", 1),
            cells=tuple(show_value(found[0]) if found else "-" for found in given),
            left=any(isinstance(found[0], str) for found in given if found),
        )
    return columns


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Each dotted path's shortest ending that no other path shares and that is not a bare index.

    >>> short_names(["optim.lr", "model.hidden.0", "data.seed", "train.seed"]).values()
    dict_values(['lr', 'hidden.0', 'data.seed', 'train.seed'])
    """
    return {path: _short_name(path, paths) for path in paths}


def _short_name(path: str, paths: Sequence[str]) -> str:
    parts = path.split(".")
    for length in range(1, len(parts)):
        ending = parts[-length:]
        sharing = sum(other.split(".")[-length:] == ending for other in paths)
        if sharing == 1 and not ending[0].isdigit():
            return ".".join(ending)
    return path


def draw_columns(columns: Sequence[Column], styles: Sequence[str] = ()) -> Table:
    """A table without lines.

    styles  of the first rows; the others have none.
    """
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            Text(column.title),
            justify="left" if column.left else "right",
            vertical="bottom",
            no_wrap=True,
            min_width=column.width,
        )
    rows = zip(*(column.cells for column in columns), strict=True)
    for cells, style in itertools.zip_longest(rows, styles):
        table.add_row(*map(Text, cells), style=style)
    return table
