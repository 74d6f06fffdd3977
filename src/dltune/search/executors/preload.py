"""What every worker needs, imported by the server that workers are forked from.

Nothing else may happen here: a thread, or CUDA, would not survive the fork.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal

from dltune.search.executors.processes import COORDINATOR_VARIABLE

PR_SET_PDEATHSIG = 1  # from Linux's sys/prctl.h

# The server would end with the coordinator by itself, but not before torch is loaded, and until
# then hold open the pipes that the coordinator was started with. Workers do not inherit this.
_coordinator = os.environ.pop(COORDINATOR_VARIABLE, None)
if _coordinator is not None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(_coordinator):  # it has ended before
        os._exit(1)

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
