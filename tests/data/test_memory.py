from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("measure_memory.py")

# 141 MB were measured for a file of 94 MB: 80 MB of float64 columns, which keep every digit until
# they are scaled, 42 MB of finished float32 features, and what the libraries take. The blocks,
# about 50 MB that do not grow with the file, are given back before.
MOST_PER_FILE_BYTE = 2.0


def run(*arguments: str) -> str:
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read on Linux")
def test_memory_of_a_large_csv_file_is_proportional_to_it(tmp_path):
    run("write", str(tmp_path), "200000", "50")
    measured = json.loads(run("load", str(tmp_path)))
    assert measured["rows"] == 200_000
    assert measured["columns"] == 48 + 4  # the color is one-hot with a slot more
    assert measured["file_mb"] > 80
    assert measured["growth_mb"] < MOST_PER_FILE_BYTE * measured["file_mb"]
