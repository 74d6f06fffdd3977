"""Under which conditions a run is trained: versions, git, hashes of data and code."""

from __future__ import annotations

import hashlib
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dltune.data.dataset import Dataset, Examples
from dltune.data.load import load_data
from dltune.recipe.schema import DataConfig
from dltune.runs.provenance import (
    begin_session,
    changes_of_files,
    code_name,
    facts_of,
    git_state,
    hash_of_dataset,
    hash_of_file,
    imported_files,
    versions,
)


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class TestGit:
    def test_a_clean_and_a_changed_tree(self, tmp_path: Path) -> None:
        git(tmp_path, "init", "--quiet")
        assert git_state(tmp_path) is None  # nothing is committed
        (tmp_path / "net.py").write_text("x = 1\n")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "--quiet", "-m", "first")
        commit = git(tmp_path, "rev-parse", "HEAD")
        (tmp_path / "runs").mkdir()  # what git does not know changes nothing
        (tmp_path / "runs" / "a").touch()
        assert git_state(tmp_path / "runs") == {"commit": commit, "dirty": False}
        (tmp_path / "net.py").write_text("x = 2\n")
        assert git_state(tmp_path) == {"commit": commit, "dirty": True}

    def test_outside_of_a_repository_and_without_git(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
        assert git_state(tmp_path) is None
        monkeypatch.setenv("PATH", "")
        assert git_state(tmp_path) is None


def test_a_session_says_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dltune", "search", "a b.toml", "--note", "it's"])
    session = begin_session(tmp_path, note="it's")
    assert session.command_line == """dltune search 'a b.toml' --note 'it'"'"'s'"""
    assert (session.note, session.ended, session.ending) == ("it's", None, None)
    assert session.versions == versions()
    assert versions()["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert versions()["numpy"] == np.__version__


class TestHashes:
    def test_of_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        # The value for "abc" in FIPS 180-4's examples of SHA-256.
        assert hash_of_file(tmp_path / "a") == (
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        )

    def test_what_has_changed_is_named(self, tmp_path: Path) -> None:
        for name in ("same", "other", "gone"):
            (tmp_path / name).write_text(name)
        before = {
            name: hashlib.sha256(name.encode()).hexdigest() for name in ("same", "other", "gone")
        }
        assert changes_of_files(before, tmp_path) == []
        (tmp_path / "other").write_text("Other")
        (tmp_path / "gone").unlink()
        assert changes_of_files(before, tmp_path) == ["other has changed", "gone is gone"]
        assert changes_of_files(before, tmp_path, names=["same"]) == []

    @pytest.mark.parametrize(
        "change",
        [
            lambda x, y: (x + 1e-6, y),
            lambda x, y: (x.reshape(3, 4), y[:3]),
            lambda x, y: (x, y[::-1]),
            lambda x, y: (x.astype(np.float64), y),
        ],
        ids=["a value", "the shape", "the order", "the type"],
    )
    def test_of_arrays(self, change: object) -> None:
        x, y = np.arange(12, dtype=np.float32).reshape(4, 3), np.arange(4)

        def digest(features: np.ndarray, targets: np.ndarray) -> str:
            split = Examples(features=features, targets=targets)
            return hash_of_dataset(
                Dataset(
                    name="a", task="regression", train=split, dev=split, test=None,
                    train_dev=None, outputs=1,
                )
            )  # fmt: skip

        assert digest(x, y) == digest(x.copy(), y.copy())
        assert digest(x, y) != digest(*change(x, y))  # type: ignore[operator]

    def test_of_what_a_package_gives(self) -> None:
        digests = {
            name: load_data(DataConfig(source=f"sklearn:{name}"), folder=Path()).digest
            for name in ("wine", "digits", "diabetes")
        }
        assert len(set(digests.values())) == 3
        again = load_data(DataConfig(source="sklearn:wine", seed=3), folder=Path())
        assert again.digest == digests["wine"]  # the same data, split otherwise


class TestImportedFiles:
    def test_those_below_the_folders_and_no_others(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
        for folder in (project / "parts", elsewhere):
            folder.mkdir(parents=True)
            monkeypatch.syspath_prepend(str(folder.parent if folder.name == "parts" else folder))
        (project / "parts" / "__init__.py").write_text("")
        (project / "parts" / "layers_of_a_test.py").write_text("size = 3\n")
        (project / "not_imported.py").write_text("")
        (elsewhere / "other_of_a_test.py").write_text("")
        for name in ("parts.layers_of_a_test", "other_of_a_test"):
            importlib.import_module(name)
        try:
            assert imported_files([project]) == {
                project / "parts" / "__init__.py": b"",
                project / "parts" / "layers_of_a_test.py": b"size = 3\n",
            }
            assert set(imported_files([project, elsewhere])) >= {elsewhere / "other_of_a_test.py"}
        finally:
            for name in ("parts", "parts.layers_of_a_test", "other_of_a_test"):
                del sys.modules[name]

    def test_what_is_installed_is_left_out(self) -> None:
        """A recipe may lie above the environment, as beside a .venv."""
        found = imported_files([Path(sys.prefix), Path(np.__file__).parents[1]])
        assert not [path for path in found if "site-packages" in path.parts]

    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("/home/recipes/net.py", "net.py"),
            ("/home/recipes/parts/net.py", "parts/net.py"),
            ("/home/net.py", "../net.py"),
        ],
    )
    def test_names_are_paths_from_the_recipe(self, path: str, name: str) -> None:
        assert code_name(Path(path), Path("/home/recipes")) == name


def test_the_scaling_of_a_target_is_kept() -> None:
    facts = facts_of(load_data(DataConfig(source="sklearn:diabetes"), folder=Path()))
    assert (facts.task, facts.class_names) == ("regression", ())
    (mean,), (scale,) = facts.target_mean, facts.target_scale
    assert 100 < mean < 200  # of 442 patients it is 152.1, the standard deviation 77.0
    assert 60 < scale < 90
    wine = facts_of(load_data(DataConfig(source="sklearn:wine"), folder=Path()))
    assert (wine.task, wine.class_names) == (
        "classification",
        ("class_0", "class_1", "class_2"),
    )
    assert (wine.target_mean, wine.target_scale) == ((), ())
    assert wine.examples == {"train": 106, "dev": 36, "test": 36, "train_dev": None}
