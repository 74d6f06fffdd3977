"""`python -m dltune` is `dltune`."""

from __future__ import annotations

import sys

from dltune.cli.main import main

sys.exit(main())
