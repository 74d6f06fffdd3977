"""`scripts/readme_commands.py`: the set-up commands of the README, as a script."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.scripts.loading import SCRIPTS, load_script

TEXT = """\
# Title

<!-- set-up: run -->
```sh
python3 -m venv .venv
.venv/bin/dltune --help
```

<!-- set-up: test -->

```
pytest
```
"""


@pytest.fixture
def script():
    return load_script("readme_commands")


@pytest.mark.parametrize(
    ("mark", "body"),
    [
        ("set-up: run", "python3 -m venv .venv\n.venv/bin/dltune --help\n"),
        ("set-up: test", "pytest\n"),
    ],
)
def test_a_marked_block(script, mark: str, body: str) -> None:
    assert script.marked_block(TEXT, mark) == body


def test_a_mark_that_is_not_there(script) -> None:
    with pytest.raises(SystemExit, match=r"README\.md has no block marked <!-- set-up: all -->"):
        script.marked_block(TEXT, "set-up: all")


def test_a_mark_does_not_reach_over_other_text(script) -> None:
    with pytest.raises(SystemExit):
        script.marked_block("<!-- run -->\nText.\n```sh\nrm\n```\n", "run")


@pytest.mark.parametrize("mark", ["set-up: run", "set-up: test"])
def test_the_readme_has_its_set_up(mark: str) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "readme_commands.py"), mark],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(("python3 -m venv", ".venv/bin/pip install"))
    assert done.stderr == ""
