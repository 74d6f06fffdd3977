"""Files that are no data, damaged, or larger than they look."""

from __future__ import annotations

import io
import os
import socket
import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dltune.data.machine import free_memory
from dltune.data.sources.open_source import FORMATS

X, Y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
AGAIN = "Save it again: numpy.savez(path, X=X, y=y)."


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(shape: str) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def archive(**members: bytes):
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members.items():
                file.writestr(f"{name}.npy", content)

    return write


@pytest.mark.parametrize(
    ("features", "what"),
    [
        pytest.param(
            header("(40, -3)"),
            "its header declares the shape (40, -3) of float64, and 0 bytes follow",
            id="negative",
        ),
        pytest.param(
            header("(99999999999, 99999999999)"),
            "its header declares the shape (99999999999, 99999999999) of float64, and 0 bytes "
            "follow",
            id="huge",
        ),
        pytest.param(
            npy(X)[:-8],
            "its header declares the shape (40, 3) of float64, and 952 bytes follow",
            id="truncated",
        ),
        pytest.param(
            npy(X) + b"\0" * 8,
            "its header declares the shape (40, 3) of float64, and 968 bytes follow",
            id="more than declared",
        ),
        pytest.param(header("(40, 3")[:-3], None, id="half a header"),
        pytest.param(header("'a'"), None, id="no shape"),
        pytest.param(b"", None, id="empty"),
        pytest.param(
            b"\x93NUMPY\x09\x00",
            "version (9, 0) of the format is not known",
            id="a format of the future",
        ),
        pytest.param(b"x" * 1000, None, id="no array"),
    ],
)
def test_arrays_that_are_damaged(refuse, features, what):
    error = refuse(archive(X=features, y=npy(Y)), name="a.npz")
    assert error.startswith(f"a.npz: X is damaged: {what or ''}")
    assert error.endswith(f"\n{AGAIN}")
    assert len(error.splitlines()) == 2


@pytest.mark.parametrize("packed", [True, False], ids=["deflated", "stored"])
def test_a_wrong_checksum(refuse, tmp_path, packed):
    def write(path):
        (np.savez_compressed if packed else np.savez)(path, X=X, y=Y)
        content = bytearray(path.read_bytes())
        content[content.index(b"NUMPY") + 400 if not packed else 250] ^= 0xFF
        path.write_bytes(content)

    error = refuse(write, name="a.npz")
    assert error.startswith("a.npz: X is damaged: ")
    assert error.endswith(f"\n{AGAIN}")


def test_a_truncated_archive(refuse):
    def write(path):
        np.savez(path, X=X, y=Y)
        path.write_bytes(path.read_bytes()[:-200])

    assert refuse(write, name="a.npz").startswith("a.npz: is no NPZ archive")


def test_an_archive_without_arrays(refuse):
    def write(path):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("readme.txt", "nothing")

    assert refuse(write, name="a.npz") == (
        "a.npz: needs arrays X and y, or X_train and y_train; it has no arrays\n"
        "Save it with numpy.savez(path, X=X, y=y)."
    )


def test_an_array_larger_than_memory_is_refused_before_it_is_read(refuse, tmp_path):
    """8 TB by its header, of which the archive holds a beginning only and claims all."""
    rows = 10**12

    def write(path):
        archive(X=header(f"({rows}, 1)") + bytes(8), y=npy(Y))(path)
        content = bytearray(path.read_bytes())
        at = content.rindex(b"PK\x01\x02")
        at = content.index(b"PK\x01\x02")
        extra = struct.pack("<HHQ", 1, 8, 8 * rows + len(header(f"({rows}, 1)")))
        name_length = struct.unpack_from("<H", content, at + 28)[0]
        struct.pack_into("<I", content, at + 24, 0xFFFFFFFF)  # the size is in the extra field
        struct.pack_into("<H", content, at + 30, len(extra))
        content[at + 46 + name_length : at + 46 + name_length] = extra
        end = content.index(b"PK\x05\x06")
        size = struct.unpack_from("<I", content, end + 12)[0]
        struct.pack_into("<I", content, end + 12, size + len(extra))
        path.write_bytes(content)

    error = refuse(write, name="a.npz")
    assert error.startswith("a.npz: X and y would take 8.0 TB of memory, and ")
    assert error.endswith(" are left\nSave fewer examples, or smaller ones.")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(np.asfortranarray, id="fortran order"),
        pytest.param(lambda x: x.astype(">f8"), id="big-endian"),
        pytest.param(lambda x: x.astype(np.longdouble), id="long double"),
    ],
)
def test_other_layouts_of_the_same_numbers(load, change):
    plain = load(lambda path: np.savez(path, X=X, y=X[:, 0]), name="a.npz")
    other = load(lambda path: np.savez(path, X=change(X), y=change(X[:, 0])), name="b.npz")
    np.testing.assert_array_equal(other.train.features, plain.train.features)
    np.testing.assert_array_equal(other.train.targets, plain.train.targets)
    labels = load(lambda path: np.savez(path, X=X, y=Y.astype(">i4")), name="c.npz")
    assert labels.train.targets.dtype == np.dtype(np.int64)


@pytest.mark.parametrize("ending", ["csv", "npz", "parquet"])
def test_sources_that_are_no_files(refuse, tmp_path, ending):
    os.mkfifo(tmp_path / f"pipe.{ending}")
    assert refuse(source=f"pipe.{ending}") == (
        f"data.source = 'pipe.{ending}': is a pipe; a file is needed, which can be read twice\n"
        f"Write what comes out of it into a file first: {FORMATS}."
    )
    (tmp_path / f"zero.{ending}").symlink_to("/dev/zero")
    assert refuse(source=f"zero.{ending}").startswith(
        f"data.source = 'zero.{ending}': is a device; a file is needed"
    )
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / f"s.{ending}"))
        assert "is a socket; a file is needed" in refuse(source=f"s.{ending}")
    (tmp_path / f"folder.{ending}").mkdir()
    assert "is a folder; a file is needed" in refuse(source=f"folder.{ending}")
    (tmp_path / f"empty.{ending}").touch()
    assert refuse(source=f"empty.{ending}").startswith(f"empty.{ending}: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(refuse, tmp_path, table):
    (tmp_path / "t.csv").write_text(table())
    (tmp_path / "t.csv").chmod(0)
    assert refuse() == (
        "data.source = 't.csv': cannot be read: Permission denied\n"
        "Check its permissions: ls -l t.csv."
    )


@pytest.mark.parametrize(
    "raised",
    [
        "MemoryError",
        "RuntimeError(\"[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't "
        'allocate memory: you tried to allocate 8 bytes")',
        "__import__('pyarrow').lib.ArrowMemoryError('malloc of size 8 failed')",
        "np._core._exceptions._ArrayMemoryError((9,), np.dtype(float))",
    ],
    ids=["python", "torch", "pyarrow", "numpy"],
)
def test_memory_that_runs_out(refuse, raised):
    body = f"import numpy as np\ndef load(): raise {raised}"
    error = refuse(body, name="d.py", source="d.py:load")
    assert error.startswith("d.py:load: memory ran out while it was loaded: ")
    assert error.endswith("\nEnd other programs that hold memory, or give fewer rows or columns.")


@pytest.mark.skipif(free_memory() > 41e9, reason="there is memory for so many")
def test_too_many_categories_are_refused_before_they_take_memory(refuse):
    rows = range(2**17)
    words = pd.DataFrame({"word": [f"w{row}" for row in rows], "a": 1, "b": 2, "y": rows})
    error = refuse(
        words.to_parquet, name="t.parquet", categorical=["word"], drop=["a"], task="regression"
    )
    assert error.startswith(
        "t.parquet: 78,646 columns of 131,072 rows, one for each category (word 78,644), would "
        "take 41.2 GB of memory, and "
    )
    assert error.endswith(
        " are left\nJoin rare categories into one in the data, or leave columns out: "
        '--set \'data.drop=["a", "word"]\'.'
    )
