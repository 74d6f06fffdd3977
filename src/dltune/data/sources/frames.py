"""Pandas frames, as Python functions return them: columns of types and texts."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from dltune.data.complaints import OR_LEAVE_OUT, Complaint
from dltune.data.raw import Column, NumericColumn
from dltune.data.selection import select_columns
from dltune.data.sources.pairs import join_splits
from dltune.data.sources.typed_table import column_from_arrow
from dltune.errors import DataError
from dltune.recipe.schema import DataConfig


def columns_of_frames(
    frames: list[Any], parts: list[str], config: DataConfig
) -> list[Column | Complaint]:
    """The features of pandas frames, one a split, laid end to end.

    parts  names of the splits, in the order of the frames.

    Raises DataError if the frames differ in their columns; a complaint for columns of mixed types.
    """
    import pandas as pd

    origin = config.source
    for frame, part in zip(frames, parts, strict=True):
        if not isinstance(frame, pd.DataFrame) or list(frame.columns) != list(frames[0].columns):
            raise DataError(
                f"{origin}: X of {part} does not have the columns of X of {parts[0]}",
                hint="Give all splits frames with the same columns in the same order.",
            )
    names = [str(name) for name in frames[0].columns]
    selection = select_columns(names, config, origin=origin, own_target=True)
    return [
        _read_column(
            name,
            [frame.iloc[:, names.index(name)] for frame in frames],
            as_text=name in selection.forced,
            origin=origin,
        )
        for name in selection.features
    ]


def _read_column(name: str, parts: list[Any], *, as_text: bool, origin: str) -> Column | Complaint:
    def complaint(what: str, mend: str) -> Complaint:
        return Complaint(
            found=f"{origin}, column {name!r}: {what}",
            columns={name: what.partition(":")[0].partition(";")[0].removeprefix("holds ")},
            mend=f"Make it {mend} in the function, such as X[{name!r}].astype(str)",
            link=OR_LEAVE_OUT,
        )

    try:
        return _column_of_series(name, parts, as_text=as_text, origin=origin)
    except OverflowError:
        return complaint("holds whole numbers of more than 64 bits", "texts")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        return complaint(f"mixes types: {str(error).splitlines()[0]}", "one type")
    except pa.ArrowNotImplementedError:  # complex numbers, intervals
        kind = parts[0].dtype
        must = "a column must hold numbers, booleans or texts"
        return complaint(f"holds values of type {kind}; {must}", "one of them")


def _column_of_series(
    name: str, parts: list[Any], *, as_text: bool, origin: str
) -> Column | Complaint:
    """A column of the series of every split, one after another."""
    import pandas as pd

    def read(series: Any) -> Column | Complaint:
        array = pa.chunked_array([pa.array(series, from_pandas=True)])
        return column_from_arrow(name, array, as_text=as_text, origin=origin)

    if len({part.dtype for part in parts}) > 1:
        columns = [read(part) for part in parts]
        numbers = [part.values for part in columns if isinstance(part, NumericColumn)]
        if len(numbers) == len(parts):
            return NumericColumn(name=name, values=join_splits(numbers, f"{origin}, X, {name!r}"))
    return read(parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True))
