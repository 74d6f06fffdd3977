"""Whether anything of a study can be trained: asked before there is a run folder.

Only a process with torch can tell: it builds the model of a config on its data. What all configs
get wrong is a mistake of the user's (an argument that the factory does not take, a device that is
not there); what only some get wrong fails the trials that have it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dltune.errors import DltuneError
from dltune.recipe.schema import Config, FactoryConfig
from dltune.recipe.users_code import let_signals_through
from dltune.training.history import Trial

if TYPE_CHECKING:
    from dltune.data.device import DeviceData
    from dltune.search.executors.job import Job, Told


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """A job: to build the trials' models one after another, until one can be trained.

    trials  with the same data.
    folder  where a model factory is looked up; not the run's, which need not be there yet.
    """

    trials: tuple[Trial, ...]
    folder: Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check has found: the first trial's mistake, or None if one of them can be trained."""

    mistake: DltuneError | None


class CheckAlone:
    """A check that is the only job; it is taken, told of and failed as `Jobs` are.

    mistake  what is wrong with all of its trials; None if one is fine, or if only training tells.
    """

    def __init__(self, trials: Sequence[Trial], folder: Path) -> None:
        self._waiting: Job | None = Check(trials=tuple(trials), folder=folder.absolute())
        self.mistake: DltuneError | None = None

    def __bool__(self) -> bool:
        return self._waiting is not None

    def take(self, running: Collection[Job] = ()) -> Job | None:
        """The check, the first time; then None."""
        check, self._waiting = self._waiting, None
        return check

    def put_back(self, job: Job) -> None:
        """Have the check done, which was taken and not begun."""
        self._waiting = job

    def follow(self, job: Job, message: Told) -> tuple[()]:
        """Take in what was found."""
        assert isinstance(message, Checked)
        self.mistake = message.mistake
        return ()

    def fail(self, job: Job, failure: object) -> tuple[()]:
        """The user's code has ended the worker, or hangs: what it does to a trial will show."""
        return ()

    refuse = fail  # for the data, which cannot be loaded any more


def first_mistake(check: Check, data_of: Callable[[Config], DeviceData]) -> DltuneError | None:
    """What is wrong with the first trial of a check; None if one of them can be trained.

    data_of  gives the data of a config on its device.
    """
    mistakes = []
    for trial in check.trials:
        mistake = _mistake(trial, data_of, check.folder)
        if mistake is None:
            return None
        mistakes.append(mistake)
    return mistakes[0]


def _mistake(
    trial: Trial, data_of: Callable[[Config], DeviceData], folder: Path
) -> DltuneError | None:
    from dltune.models.build import build_model
    from dltune.training.learner import Learner

    model = trial.config.model
    try:
        data = data_of(trial.config)
        learner = Learner(trial.config, seed=trial.seed, data=data, folder=folder)
        if isinstance(model, FactoryConfig):  # which must give another module each time
            with learner.own_randomness():
                build_model(model, inputs=data.inputs, outputs=data.outputs, folder=folder)
    except DltuneError as error:
        return error
    except BaseException as error:  # memory, or the user's code beside the factory
        let_signals_through(error)
        return None  # the trial will tell
    return None
