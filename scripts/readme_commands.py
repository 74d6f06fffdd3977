"""Print the commands of one marked block of the README, as a shell script.

A block is marked by an HTML comment in the line before its fence: `<!-- set-up: run -->`.

    python3 scripts/readme_commands.py "set-up: run"
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def marked_block(text: str, mark: str) -> str:
    """The body of the fenced block after `<!-- mark -->`; SystemExit if there is none."""
    found = re.search(rf"<!-- {re.escape(mark)} -->\n+```\w*\n(.*?)```", text, flags=re.DOTALL)
    if found is None:
        raise SystemExit(f"README.md has no block marked <!-- {mark} -->")
    return found.group(1)


if __name__ == "__main__":
    print(marked_block(README.read_text(encoding="utf-8"), sys.argv[1]), end="")
