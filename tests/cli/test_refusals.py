"""What the system refuses: a full disk, a file in the way, a reader that has gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dltune.errors import FolderTakenError
from dltune.runs.lock import check_free

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of shell in which `dltune` is this one."""
    dltune = f'dltune() {{ "{sys.executable}" -m dltune "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", dltune + line], capture_output=True, text=True, timeout=120, cwd=folder
    )


def test_a_file_where_the_run_folders_should_go(dltune, folder: Path) -> None:
    done = dltune("search", "tiny.toml", "--trials", "1", "--runs-dir", "tiny.toml")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-2:] == [
        "error: tiny.toml: the system says: Not a directory",
        "Check the path and its permissions; --runs-dir puts run folders elsewhere.",
    ]


def test_a_name_that_is_too_long(dltune, folder: Path) -> None:
    done = dltune("search", "tiny.toml", "--trials", "1", "--name", "x" * 300)
    assert done.code == 2
    assert done.err.endswith("the system says: File name too long\nChoose a shorter name.\n")


def test_a_file_with_the_name_of_the_run(folder: Path) -> None:
    with pytest.raises(FolderTakenError) as refused:
        check_free(folder / "tiny.toml")
    assert refused.value.found.endswith("is a file, and a run folder cannot have its name")
    assert refused.value.hint == "Type --name and another name."


@LINUX
def test_a_full_disk_under_the_results(study: Path, folder: Path) -> None:
    done = shell(f"dltune report {study} > /dev/full", folder)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-2:] == [
        "error: the system says: No space left on device",
        "Make room on the disk; a search then goes on with --resume.",
    ]


@LINUX
def test_tables_without_the_right_to_rewrite_the_csv_files(
    dltune, study: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = folder / "copy"
    table = copy / "trials.csv"
    shell(f"cp -r {study} {copy}; rm {table}; mkdir {table}", folder)  # cannot be replaced
    done = dltune("report", copy)
    assert done.code == 0
    assert "best: trial" in done.out
    assert done.err.startswith(f"the CSV files were left alone: {copy}/.trials.csv.")


@LINUX
def test_a_reader_of_the_progress_that_has_gone(folder: Path) -> None:
    line = "dltune search tiny.toml --trials 2 2>&1 >/dev/null | head -1; exit ${PIPESTATUS[0]}"
    done = shell(line, folder)
    assert (done.returncode, done.stderr) == (141, "")


@LINUX
def test_closed_streams(study: Path, folder: Path) -> None:
    done = shell(f"dltune report {study} >&- 2>&-", folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "words", [["search", "--trials", "1"], ["train", "--set", "optim.lr=1e-3"]], ids=lambda w: w[0]
)
@pytest.mark.slow
def test_runs_started_at_the_same_time_take_different_numbers(
    words: list[str], folder: Path
) -> None:
    command = [sys.executable, "-m", "dltune", words[0], "tiny.toml", *words[1:]]
    three = [
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for _ in range(3)
    ]
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in three]
    assert [code for _, code in ends] == [0, 0, 0], ends
    assert sorted(os.listdir("runs")) == ["tiny-1", "tiny-2", "tiny-3"]
