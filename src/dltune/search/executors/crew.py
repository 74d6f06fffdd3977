"""All the worker processes of a pool: started in the background, replaced when they die."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from multiprocessing.connection import Connection, wait

from dltune.errors import TrainingError
from dltune.search.executors.launch import start_server, stop_server, worker_context
from dltune.search.executors.slot import Slot
from dltune.search.executors.worker import WorkerSetup

# Workers in a row that may die before they get to work: somebody may have killed one or two of
# them. With the third it is the machine.
EARLY_DEATHS = 3


class Crew:
    """Worker processes.

    setups  what each is told.
    """

    def __init__(self, setups: Sequence[WorkerSetup]) -> None:
        context = worker_context()
        self.slots = [Slot(setup, context) for setup in setups]
        self._starter: threading.Thread | None = None
        self._problem: Exception | None = None

    def start(self) -> None:
        """Start every worker that does not run; the first time in the background.

        Only the first time may take a second or two, for loading torch.
        """
        if self._starter is None:
            start_server()
            for slot in self.slots:
                slot.open()
            self._starter = threading.Thread(target=self._launch_all, daemon=True)
            self._starter.start()
        for slot in self.slots:
            if not slot.is_open:
                self._launch(slot)

    def _launch_all(self) -> None:
        try:
            for slot in self.slots:
                slot.launch()
        except Exception as problem:  # `replace` tells, since the slot's pipe has ended
            self._problem = problem

    def wait(self) -> list[Slot]:
        """Wait until workers have something to tell, or have died; which ones."""
        slots: dict[Connection, Slot] = {slot.connection: slot for slot in self.slots}
        return [slots[ready] for ready in wait(list(slots)) if isinstance(ready, Connection)]

    def replace(self, slot: Slot) -> None:
        """Start another worker in place of one that has died.

        Raises TrainingError if workers cannot be started at all.
        """
        if not slot.has_begun:
            slot.early_deaths += 1
        if self._problem is not None or slot.early_deaths >= EARLY_DEATHS:
            why = self._problem or "they end while they start"
            raise TrainingError(
                f"worker processes cannot be started here: {why}",
                hint="Type --workers 1 to train in one process.",
            )
        slot.stop()
        self._launch(slot)

    def _launch(self, slot: Slot) -> None:
        slot.open()
        try:
            slot.launch()
        except Exception as problem:  # `replace` tells
            self._problem = problem

    def stop(self, slots: Collection[Slot]) -> None:
        """End workers at once, whatever they do; `start` brings them back."""
        for slot in slots:
            slot.begin_stop()
        for slot in slots:
            slot.stop()

    def close(self) -> None:
        """End all workers."""
        if self._starter is None:
            return
        if self._starter.is_alive():
            stop_server()  # for which it waits
        self._starter.join()
        self.stop([slot for slot in self.slots if slot.is_open])
