"""What every benchmark trains: random searches on the digits, with four models.

10 epochs of Adam in batches of 64, over learning rate (log 1e-4 to 1e-1), weight decay (log 1e-6 to
1e-2) and dropout (0 to 0.5). `peers/digits_split.py` cuts the digits as dltune does, so that dltune
and its peers train on the same; `peers/task.py` has the same models in plain torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One model on the digits.

    name   on the command line, for dltune's side and the peers'.
    title  in tables.
    model  lines of the recipe's [model], without the dropout.
    """

    name: str
    title: str
    model: str

    def recipe(self) -> str:
        """The search as a recipe."""
        return f"""\
[data]
source = "sklearn:digits"

[model]
{self.model}
activation = "relu"
dropout = {{ uniform = [0.0, 0.5] }}

[optim]
name = "adam"
lr = {{ log = [1e-4, 1e-1] }}
weight_decay = {{ log = [1e-6, 1e-2] }}

[train]
epochs = 10
batch_size = 64
device = "cpu"

[objective]
metric = "dev_error"
"""

    def write_recipe(self, folder: Path) -> Path:
        """The recipe as a file of the task's name in this folder."""
        path = folder / f"{self.name}.toml"
        path.write_text(self.recipe(), encoding="utf-8")
        return path


def perceptron(units: int) -> Task:
    """Two hidden layers of so many units.

    >>> perceptron(1024).title
    'MLP 64-1024-1024-10'
    """
    return Task(
        name=f"mlp-{units}",
        title=f"MLP 64-{units}-{units}-10",
        model=f'name = "mlp"\nhidden = [{units}, {units}]',
    )


_ALL = (
    *map(perceptron, (32, 128, 512)),
    Task(
        name="cnn",
        title="CNN 16-32",
        model='name = "cnn"\nfilters = [16, 32]\nhidden = [64]',
    ),
)
TASKS = {task.name: task for task in _ALL}


def tasks_named(text: str, tasks: Mapping[str, Task] = TASKS) -> list[Task]:
    """The tasks of a comma-separated list of names; a ValueError names one that is none of them.

    >>> [task.title for task in tasks_named("mlp-32,cnn")]
    ['MLP 64-32-32-10', 'CNN 16-32']
    """
    names = text.split(",")
    unknown = [name for name in names if name not in tasks]
    if unknown:
        raise ValueError(f"no model is called {unknown[0]!r}: there are {', '.join(tasks)}")
    return [tasks[name] for name in names]
