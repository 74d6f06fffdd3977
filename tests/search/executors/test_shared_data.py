"""A data set through files: the same on the other side, and shared until it is written to."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from dltune.data.dataset import Dataset
from dltune.errors import DataError, TrainingError
from dltune.recipe.schema import DataConfig, SplitConfig, TrainConfig
from dltune.runs.lock import FolderLock
from dltune.search.data_shelf import DataShelf
from dltune.search.executors.shared_data import MappedShelf, SharedData

CONFIGS = {
    "classes": DataConfig(source="sklearn:wine"),
    "numbers, with every split": DataConfig(
        source="sklearn:diabetes", split=SplitConfig(train_dev=0.1)
    ),
    "images, without a test set": DataConfig(source="sklearn:digits", split=SplitConfig(test=0.0)),
}


def assert_same(one: Dataset, other: Dataset) -> None:
    for field in dataclasses.fields(Dataset):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(mine):
            for part in ("features", "targets"):
                there = getattr(theirs, part)
                np.testing.assert_array_equal(getattr(mine, part), there)
                assert there.dtype == getattr(mine, part).dtype
                assert there.flags.writeable
        elif isinstance(mine, np.ndarray):
            np.testing.assert_array_equal(mine, theirs)
        else:
            assert mine == theirs


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_what_arrives_is_what_was_sent(config: DataConfig, tmp_path: Path) -> None:
    shelf = DataShelf(tmp_path)
    shared, mapped = SharedData(shelf), MappedShelf(tmp_path)
    mapped.map(shared.folder_of(config))
    assert_same(shelf.dataset(config), mapped.dataset(config))
    shared.close()
    data = mapped.on_device(config, TrainConfig(device="cpu"))  # what is mapped stays
    assert len(data.train) == len(shelf.dataset(config).train)


def test_each_data_set_is_written_once(tmp_path: Path) -> None:
    shared = SharedData(DataShelf(tmp_path))
    folder = shared.folder_of(CONFIGS["classes"])
    changed = (folder / "train-features.npy").stat().st_mtime_ns
    assert shared.folder_of(DataConfig(source="sklearn:wine")) == folder
    assert shared.folder_of(CONFIGS["images, without a test set"]) != folder
    assert (folder / "train-features.npy").stat().st_mtime_ns == changed
    shared.close()
    assert not folder.exists()
    shared.close()


def test_who_writes_into_it_writes_for_himself(tmp_path: Path) -> None:
    shared = SharedData(DataShelf(tmp_path))
    folder, config = shared.folder_of(CONFIGS["classes"]), CONFIGS["classes"]
    one, other = MappedShelf(tmp_path), MappedShelf(tmp_path)
    one.map(folder)
    other.map(folder)
    one.dataset(config).train.features[:] = 7.0
    assert (one.dataset(config).train.features == 7.0).all()
    assert not (other.dataset(config).train.features == 7.0).any()
    shared.close()


def test_a_disk_that_takes_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = SharedData(DataShelf(tmp_path))
    first = shared.folder_of(CONFIGS["classes"])
    (first.parent / "1").touch()  # is in the way of the next
    with pytest.raises(TrainingError) as caught:
        shared.folder_of(CONFIGS["numbers, with every split"])
    assert "cannot write diabetes for the worker processes ([Errno 17] File" in caught.value.found
    assert caught.value.hint == ("Set TMPDIR to a folder with more room, or type --workers 1.")
    shared.close()


@pytest.fixture(name="temporary")
def fixture_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="no lock tells who lives")
def test_what_killed_processes_have_left_is_swept_away(temporary: Path) -> None:
    for name in ("dltune-data-0123abcd", "dltune-data-89ef0123", "dltune-data-wines", "wines"):
        (temporary / name).mkdir()
        (temporary / name / "file").touch()
    (temporary / "dltune-data-00000000").symlink_to(temporary / "wines")
    alive = FolderLock(temporary / "dltune-data-89ef0123")
    with contextlib.closing(SharedData(DataShelf(temporary))) as shared:
        folder = shared.folder_of(CONFIGS["classes"])
        assert folder.parent.stat().st_mode & 0o777 == 0o700
        with contextlib.closing(SharedData(DataShelf(temporary))) as of_another_study:
            of_another_study.folder_of(CONFIGS["classes"])
            assert folder.exists()
    alive.release()
    left = ["dltune-data-00000000", "dltune-data-89ef0123", "dltune-data-wines", "wines"]
    assert sorted(path.name for path in temporary.iterdir()) == left
    assert all((temporary / name / "file").exists() for name in left)


def test_a_disk_that_is_full(temporary: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    shared = SharedData(DataShelf(temporary), otherwise="type --workers 1")
    shared.folder_of(CONFIGS["classes"])
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        with pytest.raises(TrainingError) as caught:
            shared.folder_of(CONFIGS["images, without a test set"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    folder = next(temporary.glob("dltune-data-*"))
    assert caught.value.found == (
        f"{folder / '1'}: cannot write digits for the worker processes (no room is left there)"
    )
    shared.close()
    assert list(temporary.iterdir()) == []


def test_no_folder_for_temporary_files(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "nowhere"))
    with pytest.raises(TrainingError, match="cannot write wine for the worker processes") as caught:
        SharedData(DataShelf(temporary)).folder_of(CONFIGS["classes"])
    assert "TMPDIR" in caught.value.hint


def test_data_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        SharedData(DataShelf(tmp_path)).folder_of(DataConfig(source="nowhere.csv"))
