"""Memory that runs out, wherever it does, ends in two lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dltune.cli.main import MAKE_ROOM
from dltune.errors import ran_out_of_memory as ran_out

PROGRAM = """import resource, sys
from dltune.cli.main import main
# As much as there is by now, and some for messages: a library finds no room.
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 30_000_000, size + 30_000_000))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_recipe_that_does_not_fit(folder: Path) -> None:
    with (folder / "large.toml").open("w") as file:
        file.truncate(400_000_000)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "train", "large.toml"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["error: out of memory: MemoryError", MAKE_ROOM]


def test_errors_that_memory_caused() -> None:
    cause = ValueError("no data")
    cause.__cause__ = MemoryError()
    assert ran_out(cause)
    assert ran_out(OSError("libtorch.so: failed to map segment from shared object"))
    assert not ran_out(OSError("no such file"))
    assert not ran_out(RuntimeError("shapes differ"))
