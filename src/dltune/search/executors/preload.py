"""What every worker needs, imported by the server that workers are forked from.

Nothing else may happen here: a thread, or CUDA, would not survive the fork.
"""

from __future__ import annotations

import gc
import importlib
import os

from dltune.search.executors.parent import end_with
from dltune.search.executors.processes import COORDINATOR_VARIABLE

SERVER = os.getpid()  # the same number in every worker, where it is that of the parent

# The server would end with the coordinator by itself, but not before torch is loaded, and until
# then hold open the pipes that the coordinator was started with. Workers do not inherit this.
_coordinator = os.environ.pop(COORDINATOR_VARIABLE, None)
if _coordinator is not None:
    end_with(int(_coordinator))

for _name in (
    "dltune.search.executors.worker",
    "dltune.runs.checkpoint",
    "safetensors.torch",
    "dltune.training.loop",
    "dltune.training.probe",
):
    importlib.import_module(_name)

# Workers share the memory of what is here until somebody writes to it, and a garbage collection
# that looks at an object writes to it.
gc.collect()
gc.freeze()
