"""Which columns of a table are used: the names in the recipe against the names in the file."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections import Counter
from collections.abc import Sequence

from dltune.errors import DataError, closest
from dltune.recipe.schema import DataConfig

LISTED_NAMES = 12
"""Names in a message: about two lines of a terminal, and most tables fit."""


TOML_WORDS = frozenset({"true", "false", "inf", "nan"})


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
        for name in wanted:
            if name not in names:
                raise missing_column(name, names, key=key, origin=origin)
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


def missing_column(name: str, names: Sequence[str], *, key: str, origin: str) -> DataError:
    """The error for a name in `data.<key>` that the table does not have."""
    near = closest(name, names)
    meant = f"; did you mean {near!r}?" if near is not None else "."
    return DataError(
        f"{origin}: no column {name!r}, which data.{key} names{meant} It has {list_names(names)}",
        hint=_other_name(near, names, key),
    )


def _other_name(near: str | None, names: Sequence[str], key: str) -> str:
    if key == "target":
        return f"Try {set_option(key, near if near is not None else names[-1])}."
    if near is None:
        return f"Take it out of data.{key}."
    return f"Try {set_option(key, [near])}."


def drop_hint(names: Sequence[str]) -> str:
    """What to type to leave columns out.

    >>> print(drop_hint(["id"]))
    --set 'data.drop=["id"]'
    """
    return set_option("drop", list(names))


def set_option(key: str, value: str | Sequence[str]) -> str:
    """A --set option for the [data] section, quoted for TOML and for the shell where it must be.

    >>> print(set_option("target", "price"), set_option("target", "2024"))
    --set data.target=price --set 'data.target="2024"'
    """
    # A bare word is a text for --set unless TOML reads it as something else (2024, true).
    if isinstance(value, str) and value.isidentifier() and value not in TOML_WORDS:
        typed = value
    else:
        typed = json.dumps(value, ensure_ascii=False)
    return f"--set {shlex.quote(f'data.{key}={typed}')}"


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
    shown = ", ".join(names[:LISTED_NAMES])
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
        at = [str(number) for number, name in enumerate(names, start=1) if name == double[0]]
        raise DataError(
            f"{origin}: the column name {double[0]!r} stands {len(at)} times "
            f"(columns {', '.join(at)}); names must differ",
            hint="Rename all but one of them in the file.",
        )


def _check_target(names: Sequence[str], config: DataConfig, origin: str) -> None:
    if config.target is None:
        raise DataError(
            f"{origin}: which column is to be predicted? data.target is not set. "
            f"It has {list_names(names)}",
            hint=f"Try {set_option('target', names[-1])}.",
        )
    if config.target not in names:
        raise missing_column(config.target, names, key="target", origin=origin)
    if config.target in config.drop:
        raise DataError(
            f"{origin}: data.drop leaves out {config.target!r}, which is the target",
            hint=f"Take {config.target!r} out of data.drop.",
        )
