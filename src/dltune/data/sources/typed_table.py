"""Typed tables through pyarrow, a column at a time: Parquet files, and columns of pandas frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from numpy.typing import NDArray

from dltune.data.complaints import Complaint
from dltune.data.raw import MISSING_CODE, Column, NumericColumn, RawData, text_column
from dltune.data.selection import select_columns
from dltune.data.sources.cells import is_missing
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

        def read(name: str) -> Column | Complaint:
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
        target = read(selection.target)
        if isinstance(target, Complaint):
            raise DataError(target.found, hint="Name another column with data.target.")
        read_columns = [read(name) for name in selection.features]
        return RawData(
            name=path.stem,
            origin=origin,
            features=tuple(c for c in read_columns if not isinstance(c, Complaint)),
            targets=(target,),
            forced=selection.forced,
            complaints=tuple(c for c in read_columns if isinstance(c, Complaint)),
            target_key=True,
        )


def column_from_arrow(name: str, array: Any, *, as_text: bool, origin: str) -> Column | Complaint:
    """One column of a pyarrow table.

    array    a pyarrow ChunkedArray: numbers, booleans, strings or a dictionary of strings.
    as_text  keep the values as categories.

    A complaint for dates, times, lists and other types that are neither.

    >>> column_from_arrow("a", pa.chunked_array([[1, None]]), as_text=False, origin="a").values
    array([ 1., nan])
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.cast(kind.value_type), kind.value_type
    if pa.types.is_temporal(kind):
        return _unusable(name, f"holds dates or times ({kind})", origin)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if is_number and not as_text:
        values = _numbers(array)
        if values is None:
            return Complaint(
                found=f"{origin}, column {name!r}: holds decimal numbers ({array.type}) that "
                "differ in digits which 64 bits do not hold",
                columns={name: "decimal numbers"},
                instead=", or subtract a constant in the file",
            )
        return NumericColumn(name=name, values=values)
    if pa.types.is_null(kind):
        return NumericColumn(name=name, values=np.full(len(array), np.nan))
    if not (is_number or pa.types.is_boolean(kind) or _is_string(kind)):
        return _unusable(name, f"holds values of type {kind}", origin)
    return _categories(name, array.cast(pa.string()))


def _numbers(array: Any) -> NDArray[Any] | None:
    """Numbers in the type they have; decimal ones as 64-bit integers or float64, or None."""
    kind = array.type
    if pa.types.is_decimal(kind):
        return _from_decimals(array)
    if array.null_count and pa.types.is_integer(kind):
        kind = pa.float64()  # with NaN, which is told as missing
    values = np.empty(len(array), dtype=kind.to_pandas_dtype())
    start = 0
    for chunk in array.chunks:
        end = start + len(chunk)
        values[start:end] = pc.cast(chunk, kind, safe=False).to_numpy(zero_copy_only=False)
        start = end
    return values


def _from_decimals(array: Any) -> NDArray[Any] | None:
    for kind in (pa.int64(), pa.uint64()) if not array.null_count else ():
        try:
            return pc.cast(array, kind).to_numpy()  # type: ignore[no-any-return]
        except pa.ArrowInvalid:  # not whole, or beyond 64 bits
            continue
    values = pc.cast(array, pa.float64(), safe=False)
    if pc.count_distinct(values).as_py() != pc.count_distinct(array).as_py():
        return None
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


def _unusable(name: str, what: str, origin: str) -> Complaint:
    return Complaint(
        found=f"{origin}, column {name!r}: {what}; a column must hold numbers, booleans or texts",
        columns={name: what.removeprefix("holds ")},
        instead=", or turn it into numbers in the file",
    )
