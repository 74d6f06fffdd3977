"""Where a study is kept: the contract of a storage, and the form in which it gets a trial."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from dltune.runs.from_json import checked
from dltune.training.history import TrialRecord, TrialState

if TYPE_CHECKING:
    from dltune.recipe.space import Space

# Epochs stand in `history.csv`: a storage would take many times as long with them.
FIELDS = tuple(
    field.name for field in dataclasses.fields(TrialRecord) if field.name not in ("history",)
)

# Counts and durations; best_epoch counts from 1, and session is -1 in a run without any.
LEAST = {"number": 0, "session": -1, "epochs": 0, "parameters": 0, "seconds": 0.0, "best_epoch": 1}


class Storage(Protocol):
    """Keeps the attributes of one study and its trials.

    It asks for no more than any storage of Optuna's offers in public calls: attributes that are
    overwritten, and finished trials with attributes of their own that are added.
    `tests/contracts/test_storage.py` holds one on a database to the same tests as the journal.
    """

    def create(self, attributes: Mapping[str, Any]) -> None:
        """Start the study; JSON can say all values."""
        ...

    def update(self, attributes: Mapping[str, Any]) -> None:
        """Change attributes of the study; the others stay."""
        ...

    def append(self, trials: Sequence[TrialRecord], space: Space) -> None:
        """Add trials in any order; of two with the same number, the later one counts."""
        ...

    def read(self) -> tuple[dict[str, Any], list[TrialRecord]]:
        """The attributes, and the trials in order of number, without histories.

        Raises RunFolderError if there is no study, or what is there cannot be read.
        """
        ...

    def recover(self) -> None:
        """Put right what a killed writer has left half-done."""
        ...


def attributes_of(trial: TrialRecord) -> dict[str, Any]:
    """A trial as plain values by name, without its epochs."""
    return {name: getattr(trial, name) for name in FIELDS} | {
        "state": trial.state.value,
        "values": dict(trial.values),
        "config": dict(trial.config),
        "examples": dict(trial.examples),
    }


def record_of(attributes: Mapping[str, Any], *, place: int) -> TrialRecord:
    """What `attributes_of` gave, perhaps by way of JSON; names that are not known are left out.

    place  of the trial in the storage: the number of one that has none, of an older dltune.

    Raises TypeError or ValueError where something is missing or of another kind.

    >>> from dltune.training.history import TrialState
    >>> trial = TrialRecord(number=3, seed=7, state=TrialState.FAILED, values={"optim.lr": 0.1})
    >>> record_of(attributes_of(trial), place=0) == trial
    True
    """
    fields = {name: attributes[name] for name in FIELDS if name in attributes}
    fields.setdefault("number", place)
    if isinstance(sizes := fields.get("examples"), dict):  # an older dltune: null for no split
        fields["examples"] = {split: size for split, size in sizes.items() if size is not None}
    trial = checked(TrialRecord, fields)
    for name, least in LEAST.items():
        value = getattr(trial, name)
        if value is not None and not least <= value < math.inf:
            raise ValueError(f"{name} is {value}: must be {least} or more")
    if min(trial.examples.values(), default=0) < 0:
        raise ValueError(f"examples are {dict(trial.examples)}: must be 0 or more")
    return trial


def newest(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """In order of number; of two with the same number, that of the later session, or of an audit: a
    trial that was pruned may be trained to its end in the same session.

    Raises ValueError if a session has written a trial twice otherwise.

    >>> from dltune.training.history import TrialState
    >>> first, again = (TrialRecord(number=1, seed=0, state=TrialState(state), session=session)
    ...                 for session, state in enumerate(("failed", "complete")))
    >>> newest([first, again]) == [again]
    True
    """
    by_number: dict[int, TrialRecord] = {}
    for trial in trials:
        known = by_number.get(trial.number)
        was_pruned = known is not None and known.state is TrialState.PRUNED
        is_audit = was_pruned and trial.state is not TrialState.PRUNED
        if known is not None and known.session >= trial.session + is_audit:
            raise ValueError(f"trial {trial.number} is there twice")
        by_number[trial.number] = trial
    return [by_number[number] for number in sorted(by_number)]
