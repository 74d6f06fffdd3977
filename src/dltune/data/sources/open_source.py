"""Which reader a source is for: by its prefix, its ending, or the colon of a Python reference."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

from dltune.data.raw import RawData
from dltune.data.selection import source_option
from dltune.data.sources.bundled import PREFIX, read_bundled
from dltune.data.sources.python import REFERENCE, read_python
from dltune.errors import DataError, closest
from dltune.recipe.schema import DataConfig

CSV_ENDINGS = (".csv", ".tsv", ".txt")
PARQUET_ENDINGS = (".parquet", ".pq")
NPZ_ENDINGS = (".npz",)

FORMATS = "CSV (.csv, .tsv, .txt), Parquet (.parquet, .pq) and NumPy (.npz)"

CONVERSIONS = {
    ".xlsx": "pandas.read_excel(path).to_csv('data.csv', index=False)",
    ".xls": "pandas.read_excel(path).to_csv('data.csv', index=False)",
    ".json": "pandas.read_json(path).to_csv('data.csv', index=False)",
    ".jsonl": "pandas.read_json(path, lines=True).to_csv('data.csv', index=False)",
    ".feather": "pandas.read_feather(path).to_parquet('data.parquet')",
    ".npy": "numpy.savez('data.npz', X=X, y=y)",
    ".gz": "gunzip FILE, in the shell",
    ".zip": "unzip FILE, in the shell",
}


def read_source(config: DataConfig, *, folder: Path) -> RawData:
    """Read `data.source`: "sklearn:NAME", "file.py:function", or the path of a file.

    folder  what relative paths start from: the folder of the recipe.

    Raises DataError for a missing file, naming the closest one, and for an unknown ending.
    """
    source = config.source
    if source.startswith(PREFIX):
        return read_bundled(config)
    if REFERENCE.fullmatch(source):
        return read_python(config, folder)
    path = folder / source
    if path.suffix == ".py":
        raise DataError(
            f"data.source = {source!r}: names a Python file without a function",
            hint=f"Try {source_option(source + ':load')}.",
        )
    if not path.exists():
        raise _missing_file(source, path)
    if path.is_dir():
        raise DataError(
            f"data.source = {source!r}: is a folder; a file is needed",
            hint=f"Name a file in it: {FORMATS}.",
        )
    _refuse_unreadable(source, path)
    ending = path.suffix.lower()
    if ending in CSV_ENDINGS:
        from dltune.data.sources.csv_table import read_csv

        return read_csv(path, config)
    if ending in PARQUET_ENDINGS:
        from dltune.data.sources.typed_table import read_parquet

        return read_parquet(path, config)
    if ending in NPZ_ENDINGS:
        from dltune.data.sources.npz import read_npz

        return read_npz(path, config)
    raise _unknown_ending(source, ending)


def _refuse_unreadable(source: str, path: Path) -> None:
    """Raise DataError for what is no plain file, or may not be read."""
    if not path.is_file():
        mode = path.stat().st_mode
        kinds = {stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
        kind = next((word for is_kind, word in kinds.items() if is_kind(mode)), "a device")
        raise DataError(
            f"data.source = {source!r}: is {kind}; a file is needed, which can be read twice",
            hint=f"Write what comes out of it into a file first: {FORMATS}.",
        )
    try:
        path.open("rb").close()
    except OSError as refusal:
        raise DataError(
            f"data.source = {source!r}: cannot be read: {refusal.strerror}",
            hint=f"Check its permissions: ls -l {shlex.quote(source)}.",
        ) from refusal


def _missing_file(source: str, path: Path) -> DataError:
    scheme, colon, rest = source.partition(":")
    if colon and closest(scheme, [PREFIX.rstrip(":")]) is not None:
        return DataError(
            f"data.source = {source!r}: no such source; did you mean '{PREFIX}{rest}'?",
            hint=f"Try {source_option(PREFIX + rest)}.",
        )
    if not path.parent.is_dir():
        return DataError(
            f"data.source = {source!r}: no such file; there is no folder {str(path.parent)!r}",
            hint="Give the path from the folder of the recipe, or an absolute path.",
        )
    near = closest(path.name, sorted(entry.name for entry in path.parent.iterdir()))
    if near is None:
        return DataError(
            f"data.source = {source!r}: no such file in {str(path.parent)!r}",
            hint="Give the path from the folder of the recipe, or an absolute path.",
        )
    typed = Path(source).with_name(near)
    return DataError(
        f"data.source = {source!r}: no such file; did you mean {str(typed)!r}?",
        hint=f"Try {source_option(str(typed))}.",
    )


def _unknown_ending(source: str, ending: str) -> DataError:
    kind = f"a file ending in {ending!r}" if ending else "a file without an ending"
    conversion = CONVERSIONS.get(ending)
    if conversion is not None:
        hint = f"Convert it: {conversion.replace('FILE', shlex.quote(source))}."
    else:
        hint = 'Convert it, or write a Python function and --set data.source="my_data.py:load".'
    return DataError(f"data.source = {source!r}: {kind} is not read; {FORMATS} are", hint=hint)
