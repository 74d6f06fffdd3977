"""How the trials of one shape are trained: one after another, or in stacks of which size.

What is best depends on the model, the machine and torch, so it is measured once for each shape
(`training/probe.py`), and kept in the run folder: a study that is resumed goes on as it began, to
the last bit of its numbers.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from dltune.errors import RunFolderError
from dltune.recipe.whole_file import replace_file
from dltune.runs.about import FORMAT
from dltune.runs.from_json import checked, parse_json

STACK_FILE = "stack.json"

StackOption = Literal["auto", "off"] | int
"""Measured, never, or whenever possible with at most so many trials."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How the trials of one shape are trained.

    stack         trials in a stack, at most; 1: one after another with `torch.optim` ("looped").
    one_worker    whether one worker with every core is faster than all workers with their share.
    reason        why they cannot be stacked; empty where they can.
    microseconds  measured time of an update, per trial, by trials in the stack (1: looped).

    >>> Plan(stack=32, microseconds={1: 437.2, 32: 52.4}).words()
    'stacks of 32: 52 us a trial and update, alone 437 us'
    >>> Plan(stack=1, microseconds={1: 3911.0, 8: 4020.3}).words()
    'one after another: 3911 us a trial and update, in a stack of 8 4020 us'
    >>> Plan(stack=1, reason="aten::lstm cannot be stacked").words()
    'one after another: aten::lstm cannot be stacked'
    """

    stack: int
    one_worker: bool = False
    reason: str = ""
    microseconds: Mapping[int, float] = dataclasses.field(default_factory=dict)

    def words(self) -> str:
        """The plan, and what it rests on, for a line to the user."""
        how = "one after another" if self.stack == 1 else f"stacks of {self.stack}"
        if self.one_worker:
            how += " in one process with every core"
        why = self.reason or self._measured()
        return f"{how}: {why}" if why else how

    def _measured(self) -> str:
        times = {size: f"{time:.0f} us" for size, time in self.microseconds.items()}
        if self.stack not in times:
            return ""
        chosen = f"{times[self.stack]} a trial and update"
        others = {size: time for size, time in self.microseconds.items() if size != self.stack}
        if not others:
            return chosen
        if self.stack > 1:
            return f"{chosen}, alone {times[1]}" if 1 in times else chosen
        size = min(others, key=others.__getitem__)
        return f"{chosen}, in a stack of {size} {times[size]}"


LOOPED = Plan(stack=1)


class PlanBook:
    """The plans of a study by the key of the shape.

    path    the file that keeps what was measured; None for none.
    option  what the user asked for; anything but "auto" needs no measurement.

    Raises RunFolderError if the file is there and damaged.
    """

    def __init__(self, path: Path | None, option: StackOption = "auto") -> None:
        self.option = option
        self._path = path if option == "auto" else None
        self._plans: dict[str, Plan] = {}
        self._noted: set[str] = set()
        if self._path is not None and self._path.exists():
            self._plans = _read(self._path)

    def known(self, key: str) -> Plan | None:
        """The plan for trials of this key; None if nothing is known yet."""
        return LOOPED if self.option == "off" else self._plans.get(key)

    def note(self, key: str, shape: str, plan: Plan) -> str:
        """A line about the plan of a shape, the first time there is something to say; else ""."""
        if plan == LOOPED or key in self._noted:
            return ""
        self._noted.add(key)
        return f"{shape}: {plan.words()}"

    def keep(self, key: str, plan: Plan) -> None:
        """Take a plan in, and onto the disk."""
        self._plans[key] = plan
        if self._path is not None:
            plans = {key: _document(plan) for key, plan in self._plans.items()}
            document = {"format": FORMAT, "plans": plans}
            replace_file(self._path, json.dumps(document, indent=2) + "\n")

    def limit(self, key: str, stack: int, reason: str) -> None:
        """From now on at most so many trials in a stack: a larger one has failed."""
        plan = self._plans.get(key, LOOPED)
        if stack < plan.stack:
            why = reason if stack == 1 else ""
            self.keep(key, dataclasses.replace(plan, stack=stack, reason=why))


def _document(plan: Plan) -> dict[str, Any]:
    times = {str(size): round(time, 1) for size, time in plan.microseconds.items()}
    return dataclasses.asdict(plan) | {"microseconds": times}


def _read(path: Path) -> dict[str, Plan]:
    try:
        document = parse_json(path.read_bytes())
        return {key: _plan(entry) for key, entry in document["plans"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise RunFolderError(
            f"{path}: damaged ({problem})",
            hint="Delete it: how to train the trials is then measured again.",
        ) from None


def _plan(entry: dict[str, Any]) -> Plan:
    sizes = {int(size): time for size, time in entry["microseconds"].items()}
    plan = checked(Plan, entry | {"microseconds": sizes})
    if plan.stack < 1:
        raise ValueError(f"stack = {plan.stack!r}")
    return plan
