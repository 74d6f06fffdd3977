"""What every worker needs, imported by the server that workers are forked from.

Nothing else may happen here: a thread, or CUDA, would not survive the fork.
"""

from __future__ import annotations

import gc
import importlib

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
