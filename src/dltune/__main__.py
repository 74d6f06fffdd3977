"""`dltune`, and `python -m dltune`: the command line, with calm ends from its first moment on."""

from __future__ import annotations

import sys

from dltune.search.interrupts import Interruption, Leave, install


def main() -> int:
    """Run the command that was typed, and return its exit code (see `dltune.cli.main`)."""
    install(Leave(always=True))
    from dltune.cli.main import main as run

    outside = Leave(always=False)
    try:
        install(outside)
        return run()
    except BaseException:
        if not outside.number:
            raise
        # The signal has struck outside of a command, or inside a library, which made another
        # exception of it.
        sys.stderr.write("interrupted\n")
        return Interruption(outside.number).exit_code
    finally:
        install(Leave(always=True))  # nothing is left to keep


if __name__ == "__main__":
    sys.exit(main())
