"""Parquet files, read column by column."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from dltune.data.raw import Column, RawData
from dltune.data.selection import select_columns
from dltune.data.sources.arrow_columns import column_from_arrow
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
                dtype="float64" if name == selection.target else "float32",
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
