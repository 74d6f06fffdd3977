"""Memory that runs out outside of a trial: where it is no record, but the end of the command."""

from __future__ import annotations

import sys

# What glibc's loader says where no room is left for a library (`ulimit -v`, a container).
LOADER_TEXTS = ("failed to map segment", "cannot allocate memory", "Cannot allocate memory")
ADVICE = (
    "error: the memory ran out",
    "Close other programs or raise the limit; fewer --workers and a smaller train.batch_size "
    "take less.",
)


def ran_out(error: BaseException) -> bool:
    """Whether an exception, or one that led to it, says that memory ran out.

    >>> ran_out(MemoryError()), ran_out(ImportError("torch.so: failed to map segment from ..."))
    (True, True)
    >>> ran_out(ImportError("No module named 'torch'"))
    False
    """
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, ImportError | OSError) and any(t in str(error) for t in LOADER_TEXTS):
        return True
    if "torch" in sys.modules and isinstance(error, RuntimeError):
        from dltune.training.memory import ran_out_of_memory

        return ran_out_of_memory(error)
    return error.__cause__ is not None and ran_out(error.__cause__)
