"""`dltune lr-find --over`: the learning rate for several values of another key."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltune.cli import output
from dltune.cli.finder import middle_note, stage_bar
from dltune.errors import UsageError

if TYPE_CHECKING:
    from dltune.cli.keeping import KeepResult, ResultKeeper
    from dltune.cli.options import Typed
    from dltune.lr.over import OverRow
    from dltune.recipe.schema import Config

CSV, PNG = "lr_find.csv", "lr_find.png"  # as without --over


def show_overlays(
    typed: Typed,
    over: Sequence[str],
    *,
    edits: Sequence[str],
    spaces: Sequence[str],
    plan: dict[str, Any],
    keep: KeepResult,
    csv: Path | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Sweep for every value of every `--over`, and show one table and chart for each.

    typed  the recipe, with what was typed, for the next command.
    edits  what `--set` and its like change for all values.
    plan   range, steps and seeds of the sweeps, and what is validated.
    keep   keeps the result of all of them as one.
    """
    from dltune.report.lr_over import over_document, render_over

    recipe = typed.recipe
    wanted = [_configs(recipe, one, edits=edits, spaces=spaces) for one in over]
    _, first = wanted[0][1][0]
    documents: list[dict[str, Any]] = []
    texts: list[str] = []
    fine = True
    with keep(first) as keeper:
        tables, plots = keeper.places(csv, CSV), keeper.places(plot, PNG) if plot else []
        if len(over) > 1 and not as_json:
            output.say(f"{tables[0]} holds the last comparison only: --csv names one file")
        for key, configs, chosen in wanted:
            output.say(*middle_note(chosen))
            rows = _found(recipe, key, configs, plan=plan, keeper=keeper)
            _write_files(recipe, key, rows, tables=tables, plots=plots)
            documents.append(over_document(key, rows))
            texts.append(render_over(key, rows))
            document = documents[0] if len(over) == 1 else {"comparisons": documents}
            if len(documents) == len(over):
                keeper.keep(first, document, "\n\n".join(texts))
            if not as_json:
                _show(typed, key, rows)
            fine = fine and all(row.result.rate is not None for row in rows)
    if as_json:
        output.write_json(document)
    return output.FINE if fine else output.FINDINGS


def _configs(
    recipe: Path, text: str, *, edits: Sequence[str], spaces: Sequence[str]
) -> tuple[str, list[tuple[str, Config]], dict[str, Any]]:
    """The key of `KEY=A,B,...`, the config with each value, and which ranges are at their middle.

    All of them are checked.
    """
    from dltune.lr.find import middle_config
    from dltune.recipe.files import load_recipe

    key, sign, values = text.partition("=")
    several = [value.strip() for value in _split(values)]
    if not sign or not key.strip() or not all(several):
        raise UsageError(
            f"--over {text}: must be a key, =, and values with commas between them",
            hint="Try --over optim.weight_decay=0,1e-4,1e-2.",
        )
    if key.strip() == "optim.lr":
        raise UsageError(
            "--over optim.lr: the learning rate is what is looked for",
            hint="Compare it over another key, such as --over optim.weight_decay=0,1e-4,1e-2.",
        )
    configs: list[tuple[str, Config]] = []
    chosen: dict[str, Any] = {}
    for value in several:
        given = load_recipe(
            recipe, overrides=[*edits, f"{key.strip()}={value}"], spaces=list(spaces)
        )
        config, middles = middle_config(given)
        configs.append((value, config))
        chosen |= middles
    return key.strip(), configs, chosen


def _split(values: str) -> list[str]:
    """At the commas that stand outside brackets: lists are values too.

    >>> _split("[64, 64],[128]")
    ['[64, 64]', '[128]']
    """
    parts, depth = [""], 0
    for character in values:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _found(
    recipe: Path,
    key: str,
    configs: Sequence[tuple[str, Config]],
    *,
    plan: dict[str, Any],
    keeper: ResultKeeper,
) -> list[OverRow]:
    from dltune.lr.over import find_over

    with stage_bar() as watch, output.users_code():
        rows = find_over(
            key,
            configs,
            folder=recipe.parent,
            **plan,
            load=keeper.load,
            say=output.say,
            watch=watch,
        )
    notes = dict.fromkeys(note for row in rows for note in row.result.notes)
    output.say(*notes)
    return rows


def _write_files(
    recipe: Path, key: str, rows: Sequence[OverRow], *, tables: list[Path], plots: list[Path]
) -> None:
    from dltune.report.lr_over import write_over_csv, write_over_png

    for path in tables:
        write_over_csv(path, rows)
    for path in plots:
        write_over_png(path, key, rows, title=recipe.stem)
    output.say(" and ".join([f"wrote {tables[0]}", *map(str, plots[:1])]))


def _show(typed: Typed, key: str, rows: Sequence[OverRow]) -> None:
    from dltune.report.lr_over import render_over
    from dltune.report.terminal import width_of

    output.write_result(render_over(key, rows, width=width_of(sys.stdout)))
    _say_next(typed, key, rows)


def _say_next(typed: Typed, key: str, rows: Sequence[OverRow]) -> None:
    if any(row.result.rate is not None for row in rows):
        command = f"dltune lr-find {typed.again(f'--set {key}=VALUE --apply lr', without=[key])}"
        output.say_next(command, "write the rate for one of them")
        return
    advice = rows[0].result.suggestion.advice
    if advice:
        one = f"--set {shlex.quote(f'{key}={rows[0].value}')} {advice}"
        output.say_next(f"dltune lr-find {typed.again(one, without=[key])}", "what could show one")
