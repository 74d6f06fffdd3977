"""Which columns of a table are used: the names in the recipe against the names in the file."""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence

from dltune.errors import DataError, closest, escaped
from dltune.recipe.overrides import set_option
from dltune.recipe.schema import DataConfig

LISTED_NAMES = 12
"""Names in a message: about two lines of a terminal, and most tables fit."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """The columns to read.

    features  names in the order of the table.
    target    the column to predict; None where the source gives targets of its own.
    forced    names to read as categories whatever they hold.
    """

    features: tuple[str, ...]
    target: str | None
    forced: frozenset[str]


def select_columns(
    names: Sequence[str], config: DataConfig, *, origin: str, own_target: bool = False
) -> Selection:
    """Check every name of the recipe against a table and split features from the target.

    names       columns of the table, in order.
    own_target  the source gives its targets apart, so `data.target` must not be set.

    Raises DataError for names that are missing, empty or double, and if no feature is left.

    >>> config = DataConfig(source="a.csv", target="price", drop=["id"])
    >>> select_columns(["id", "area", "price"], config, origin="a.csv").features
    ('area',)
    """
    _check_names(names, origin)
    for key, wanted in (("drop", config.drop), ("categorical", config.categorical)):
        if any(name not in names for name in wanted):
            raise _missing_columns(wanted, names, key=key, origin=origin)
    if own_target:
        refuse_target(config, origin)
    else:
        _check_target(names, config, origin)
    left_out = {*config.drop, config.target}
    features = tuple(name for name in names if name not in left_out)
    if not features:
        raise DataError(
            f"{origin}: no column is left to learn from ({list_names(names)})",
            hint="Keep at least one column beside the target out of data.drop.",
        )
    return Selection(features=features, target=config.target, forced=frozenset(config.categorical))


def refuse_target(config: DataConfig, origin: str) -> None:
    """Raise DataError if `data.target` names a column where the source has targets of its own."""
    if config.target is not None:
        raise DataError(
            f"data.target = {config.target!r}: {origin} brings its own targets, so there is no "
            "column to name",
            hint="Take data.target out of the recipe.",
        )


def _missing_columns(
    wanted: Sequence[str], names: Sequence[str], *, key: str, origin: str
) -> DataError:
    """The error for names in a list of the recipe that the table does not have."""
    near = {name: closest(name, names) for name in wanted if name not in names}
    missing = " and ".join(repr(name) for name in near)
    meant = " and ".join(repr(name) for name in near.values() if name is not None)
    mended = dict.fromkeys(near.get(name, name) for name in wanted)
    typed = set_option(f"data.{key}", [name for name in mended if name is not None])
    away = f"Take {'them' if len(near) > 1 else 'it'} out of data.{key}:"
    return DataError(
        f"{origin}: no column{'s' if len(near) > 1 else ''} {missing}, which data.{key} names"
        f"{f'; did you mean {meant}?' if meant else '.'} It has {list_names(names)}",
        hint=f"{'Try' if meant else away} {typed}.",
    )


def drop_hint(names: Sequence[str], dropped: Sequence[str] = ()) -> str:
    """What to type to leave columns out, with those that the recipe leaves out already.

    >>> print(drop_hint(["b"], ["id"]))
    --set 'data.drop=["id", "b"]'
    """
    return set_option("data.drop", list(dict.fromkeys([*dropped, *names])))


def categorical_hint(names: Sequence[str], forced: Iterable[str] = ()) -> str:
    """What to type to read columns as categories, with those that the recipe names already."""
    return set_option("data.categorical", list(dict.fromkeys([*forced, *names])))


def source_option(source: str) -> str:
    """What to type to read another source, quoted for the shell where it must be."""
    return f"--set {shlex.quote(f'data.source={source}')}"


def list_names(names: Sequence[str]) -> str:
    """Names for a message, the first dozen of them.

    >>> list_names(["a", "b"])
    '2 columns: a, b'
    """
    return f"{len(names):,} column{'s' if len(names) != 1 else ''}: {shorten_names(names)}"


def shorten_names(names: Sequence[str]) -> str:
    """The first dozen names and how many more there are.

    >>> shorten_names([f"x{i}" for i in range(14)])
    'x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, ... 2 more'
    """
    shown = ", ".join(map(escaped, names[:LISTED_NAMES]))
    more = f", ... {len(names) - LISTED_NAMES:,} more" if len(names) > LISTED_NAMES else ""
    return shown + more


def _check_names(names: Sequence[str], origin: str) -> None:
    for number, name in enumerate(names, start=1):
        if not name:
            raise DataError(
                f"{origin}: column {number} has no name; every column needs one "
                "(pandas writes its row index so)",
                hint="Name it in the file, or write the file with index=False.",
            )
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        others = f", and so for {', '.join(map(repr, double[1:]))}" if double[1:] else ""
        at = [str(number) for number, name in enumerate(names, start=1) if name == double[0]]
        raise DataError(
            f"{origin}: the column name {double[0]!r} stands {len(at)} times "
            f"(columns {', '.join(at)}); names must differ",
            hint=f"Rename all but one of them in the file{others}.",
        )


def _check_target(names: Sequence[str], config: DataConfig, origin: str) -> None:
    last = next((name for name in reversed(names) if name not in config.drop), names[-1])
    if config.target is None:
        raise DataError(
            f"{origin}: which column is to be predicted? data.target is not set. "
            f"It has {list_names(names)}",
            hint=f"Try {set_option('data.target', last)}.",
        )
    if config.target not in names:
        near = closest(config.target, names)
        meant = f"; did you mean {near!r}?" if near is not None else "."
        raise DataError(
            f"{origin}: no column {config.target!r}, which data.target names{meant} "
            f"It has {list_names(names)}",
            hint=f"Try {set_option('data.target', last if near is None else near)}.",
        )
    if config.target in config.drop:
        kept = [name for name in config.drop if name != config.target]
        raise DataError(
            f"{origin}: data.drop leaves out {config.target!r}, which is the target",
            hint=f"Take {config.target!r} out of data.drop: {set_option('data.drop', kept)}.",
        )
