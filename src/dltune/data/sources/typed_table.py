"""Typed tables (Parquet files, pandas frames) through pyarrow, a column at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from numpy.typing import NDArray

from dltune.data.raw import MISSING_CODE, Column, NumericColumn, RawData, text_column
from dltune.data.selection import drop_hint, select_columns
from dltune.data.sources.cells import is_missing
from dltune.data.sources.pairs import join_splits
from dltune.errors import DataError
from dltune.recipe.schema import DataConfig


def read_parquet(path: Path, config: DataConfig) -> RawData:
    """Read a Parquet file: numbers are numeric, strings, booleans and dictionaries categorical.

    Only the columns that are used are read, one after another, each straight into its final type.

    Raises DataError for a file that is no Parquet, and for columns of dates, lists and the like.
    """
    origin = config.source
    try:
        file = pa.parquet.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{origin}: is no Parquet file: {str(error).splitlines()[0]}",
            hint="Check that it was written to its end, and that the ending .parquet is right.",
        ) from error
    with file:
        selection = select_columns(file.schema_arrow.names, config, origin=origin)
        assert selection.target is not None

        def read(name: str) -> Column:
            return column_from_arrow(
                name,
                file.read(columns=[name]).column(0),
                as_text=name in selection.forced,
                origin=origin,
            )

        if file.metadata.num_rows == 0:
            raise DataError(
                f"{origin}: has no rows", hint="Check that the file was written to its end."
            )
        return RawData(
            name=path.stem,
            origin=origin,
            features=tuple(read(name) for name in selection.features),
            targets=(read(selection.target),),
            forced=selection.forced,
        )


def columns_of_frames(
    frames: list[Any], parts: list[str], config: DataConfig
) -> tuple[Column, ...]:
    """The features of pandas frames, one a split, laid end to end.

    parts  names of the splits, in the order of the frames.

    Raises DataError if the frames differ in their columns, and for columns of mixed types.
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
    columns = []
    for name in selection.features:
        values = [frame.iloc[:, names.index(name)] for frame in frames]
        as_text = name in selection.forced
        try:
            column = _column_of_series(name, values, as_text=as_text, origin=origin)
        except OverflowError as error:
            raise DataError(
                f"{origin}, column {name!r}: holds whole numbers of more than 64 bits",
                hint=f"Leave it out: {drop_hint([name])}, or make it texts in the function: "
                f"X[{name!r}].astype(str).",
            ) from error
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(
                f"{origin}, column {name!r}: mixes types: {str(error).splitlines()[0]}",
                hint=f"Make it one type in the function, such as X[{name!r}].astype(str).",
            ) from error
        except pa.ArrowNotImplementedError as error:  # complex numbers, intervals
            raise DataError(
                f"{origin}, column {name!r}: holds values of type {values[0].dtype}; a column must "
                "hold numbers, booleans or texts",
                hint=f"Make it one of them in the function, such as X[{name!r}].astype(str).",
            ) from error
        columns.append(column)
    return tuple(columns)


def _column_of_series(name: str, parts: list[Any], *, as_text: bool, origin: str) -> Column:
    """A column of the series of every split, one after another."""
    import pandas as pd

    def read(series: Any) -> Column:
        array = pa.chunked_array([pa.array(series, from_pandas=True)])
        return column_from_arrow(name, array, as_text=as_text, origin=origin)

    if len({part.dtype for part in parts}) > 1:
        columns = [read(part) for part in parts]
        numbers = [part.values for part in columns if isinstance(part, NumericColumn)]
        if len(numbers) == len(parts):
            return NumericColumn(name=name, values=join_splits(numbers, f"{origin}, X, {name!r}"))
    return read(parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True))


def column_from_arrow(name: str, array: Any, *, as_text: bool, origin: str) -> Column:
    """One column of a pyarrow table.

    array    a pyarrow ChunkedArray: numbers, booleans, strings or a dictionary of strings.
    as_text  keep the values as categories.

    Raises DataError for dates, times, lists and other types that are neither.

    >>> column_from_arrow("a", pa.chunked_array([[1, None]]), as_text=False, origin="a").values
    array([ 1., nan])
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.cast(kind.value_type), kind.value_type
    if pa.types.is_temporal(kind):
        raise _unusable(name, f"holds dates or times ({kind})", origin)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if is_number and not as_text:
        return NumericColumn(name=name, values=_numbers(name, array, origin))
    if pa.types.is_null(kind):
        return NumericColumn(name=name, values=np.full(len(array), np.nan))
    if not (is_number or pa.types.is_boolean(kind) or _is_string(kind)):
        raise _unusable(name, f"holds values of type {kind}", origin)
    return _categories(name, array.cast(pa.string()))


def _numbers(name: str, array: Any, origin: str) -> NDArray[Any]:
    """Numbers in the type they have; decimal ones as 64-bit integers or float64."""
    kind = array.type
    if pa.types.is_decimal(kind):
        return _from_decimals(name, array, origin)
    if array.null_count and pa.types.is_integer(kind):
        kind = pa.float64()  # with NaN, which is told as missing
    values = np.empty(len(array), dtype=kind.to_pandas_dtype())
    start = 0
    for chunk in array.chunks:
        end = start + len(chunk)
        values[start:end] = pc.cast(chunk, kind, safe=False).to_numpy(zero_copy_only=False)
        start = end
    return values


def _from_decimals(name: str, array: Any, origin: str) -> NDArray[Any]:
    for kind in (pa.int64(), pa.uint64()) if not array.null_count else ():
        try:
            return pc.cast(array, kind).to_numpy()  # type: ignore[no-any-return]
        except pa.ArrowInvalid:  # not whole, or beyond 64 bits
            continue
    values = pc.cast(array, pa.float64(), safe=False)
    if pc.count_distinct(values).as_py() != pc.count_distinct(array).as_py():
        raise DataError(
            f"{origin}, column {name!r}: holds decimal numbers ({array.type}) that differ in "
            "digits which 64 bits do not hold",
            hint=f"Leave it out: {drop_hint([name])}, or subtract a constant in the file.",
        )
    return values.to_numpy()  # type: ignore[no-any-return]


def _categories(name: str, array: Any) -> Column:
    encoded = array.dictionary_encode().unify_dictionaries()
    if not encoded.num_chunks:
        return text_column(name, np.empty(0, dtype=np.int32), [])
    texts = [text.strip() for text in encoded.chunk(0).dictionary.to_pylist()]
    codes = np.concatenate(
        [pc.fill_null(chunk.indices, MISSING_CODE).to_numpy() for chunk in encoded.chunks]
    )
    # A text that only stands for a missing value is no category.
    used = [code for code, text in enumerate(texts) if not is_missing(text)]
    new_code = np.full(len(texts) + 1, MISSING_CODE, dtype=np.int32)  # the last slot: MISSING_CODE
    new_code[used] = np.arange(len(used))
    return text_column(name, new_code[codes], [texts[code] for code in used])


def _is_string(kind: Any) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or getattr(pa.types, "is_string_view", lambda _: False)(kind)
    )


def _unusable(name: str, what: str, origin: str) -> DataError:
    return DataError(
        f"{origin}, column {name!r}: {what}; a column must hold numbers, booleans or texts",
        hint=f"Leave it out: {drop_hint([name])}, or turn it into numbers in the file.",
    )
