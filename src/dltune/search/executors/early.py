"""The start of worker processes before anything else: for a command that will need them.

This module is light, so that a command can call it before it imports what it needs itself.
"""

from __future__ import annotations

from dltune.search.executors import launch, machine
from dltune.search.executors.machine import WorkersOption


def start_early(workers: WorkersOption) -> None:
    """Begin to load torch for worker processes; returns at once.

    workers  as for `build_executor`, which goes on from here. Where one process will do, nothing
             happens.

    To be called in the main thread.
    """
    if workers == "auto":
        wanted = machine.cores() > 1 and len(machine.gpus("auto")) != 1
    else:
        wanted = workers > 1
    if wanted:
        launch.start_server()
