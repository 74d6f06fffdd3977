"""What a run folder keeps beside its trials: what was asked for, of what data, with which code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from dltune.runs.from_json import checked

GIVEN = "python:dataset"
"""Stands for the source of a data set that the caller has passed, instead of the recipe's."""

METRICS = ("dev_error", "dev_loss")
"""What may be minimised; every epoch and every trial has both."""

ADDED = ("pruner", "pruner_options")
"""Attributes that a folder of this format may lack: its writer had no such thing."""

FORMAT = 1
"""Of everything in a run folder; a reader of a later format may read an earlier one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """One process that wrote in the run: the first one, and one for every resume.

    command_line    as it was typed.
    started, ended  in UTC, as ISO 8601 has it; `ended` is None while it runs, or if it was killed.
    ending          "complete", "interrupted" and the like (`search.events.Ending`); None likewise.
    versions        of dltune, torch, python, numpy and the platform.
    git             "commit" and "dirty" of the recipe's folder; None outside of a repository.
    threads         of torch, in a process that trains; None before one has trained.
    device          what was trained on, such as "cpu"; None likewise.
    data            SHA-256 of each data file, or of what a function returned, by source.
    code            SHA-256 of each file of the user's that was imported, by its path from the
                    recipe's folder; empty before a process has imported them.
    note            what the user wrote with --note.
    accepted        what had changed since the session before it, and was accepted.
    mended          what of the user's code had changed while no trial was complete: of earlier
                    sessions, trials that are not complete count for nothing then.
    """

    command_line: str
    started: str
    ended: str | None = None
    ending: str | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    git: Mapping[str, Any] | None = None
    threads: int | None = None
    device: str | None = None
    data: Mapping[str, str] = dataclasses.field(default_factory=dict)
    code: Mapping[str, str] = dataclasses.field(default_factory=dict)
    note: str = ""
    accepted: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What a run has to know of its data when they are gone.

    task          "classification" or "regression"; None where an older dltune has left nothing to
                  tell it by.
    task_inferred how it was told in a run of an older dltune, which did not store it; else empty.
    class_names   the classes by number; empty for a regression.
    target_mean   per output: target = scaled * target_scale + target_mean; empty for classes.
    target_scale
    examples      number of examples in each split, None for a split that is not there.
    """

    task: str | None = None
    task_inferred: str = ""
    class_names: tuple[str, ...] = ()
    target_mean: tuple[float, ...] = ()
    target_scale: tuple[float, ...] = ()
    examples: Mapping[str, int | None] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class About:
    """What a run is.

    command   "search", "train", "lr-find" or "batch-find".
    strategy  name in `dltune.search.strategies.registry`; empty for another command.
    options   every option of the strategy, defaults included.
    pruner    name in `dltune.search.pruning.registry`; "none" where all trials train to their ends.
    pruner_options  every option of the pruner.
    seed      of the study; trial seeds and proposals derive from it.
    trials    how many are wanted; a resume may raise it.
    metric    what is minimised: "dev_error" or "dev_loss".
    has_target  whether the recipe names a target error; else 0 is only its default.
    origin    of the recipe: its folder, as a path from the run folder.
    format    of the folder; 0 for one of an older dltune, which had no number.
    sessions  in the order of time.
    """

    command: str
    strategy: str = ""
    options: Mapping[str, int | float] = dataclasses.field(default_factory=dict)
    pruner: str = "none"
    pruner_options: Mapping[str, int | float] = dataclasses.field(default_factory=dict)
    seed: int = 0
    trials: int = 0
    metric: str = "dev_error"
    data: DataFacts = dataclasses.field(default_factory=DataFacts)
    has_target: bool = False
    origin: str = "."
    format: int = FORMAT
    sessions: tuple[Session, ...] = ()

    @property
    def data_hashes(self) -> dict[str, str]:
        """SHA-256 of all data that were trained on, by source; of each the newest."""
        return {name: digest for one in self.sessions for name, digest in one.data.items()}

    @property
    def code_hashes(self) -> dict[str, str]:
        """SHA-256 of all the user's code that was trained with; of each file the newest."""
        return {name: digest for one in self.sessions for name, digest in one.code.items()}

    @property
    def torch(self) -> str | None:
        """The version that last trained a trial; that of the first session before any has."""
        trained = [one for one in self.sessions if one.device is not None] or self.sessions[:1]
        return trained[-1].versions.get("torch") if trained else None

    def to_attributes(self) -> dict[str, Any]:
        """As plain values by name, for a storage."""
        return dataclasses.asdict(self)

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> About:
        """What `to_attributes` gave, perhaps by way of JSON; unknown names are left out.

        Raises KeyError, TypeError or ValueError where something is missing or of another kind.

        >>> about = About(command="search", strategy="random", trials=3)
        >>> About.from_attributes(about.to_attributes()) == about
        True
        """
        names = [field.name for field in fields(cls)]
        kept = [name for name in names if name in attributes or name not in ADDED]
        about = checked(cls, {name: attributes[name] for name in kept})
        if about.metric not in METRICS:
            raise ValueError(f"metric is {about.metric}: must be {' or '.join(METRICS)}")
        for name in ("trials", "seed"):
            if getattr(about, name) < 0:
                raise ValueError(f"{name} is {getattr(about, name)}: must be 0 or more")
        return about
