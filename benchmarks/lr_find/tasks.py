"""The tasks: data x model x optimizer x batch size x schedule, each a recipe in one of two halves.

The constants of `dltune lr-find` were chosen on the tuning half; what is reported comes from the
reporting half. Both halves have every kind of model, optimizer and schedule, on data and with
sizes of their own as far as there are enough of them. Trainings are long enough that at a good
rate most of them learn what there is to learn, as far as five seeds then agree in their dev loss.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dltune.recipe.files import parse_recipe
from dltune.recipe.schema import Config

FOLDER = Path(__file__).parent  # of data.py and nets.py

DATA = {
    **{name: f"sklearn:{name}" for name in ("digits", "breast_cancer", "wine", "iris", "diabetes")},
    **{
        name: f"data.py:{name}"
        for name in ("spirals", "friedman", "teacher", "sparse", "bars", "tones", "steps")
    },
}

MODELS = {
    "linear": "hidden = []",
    "mlp 16": "hidden = [16]",
    "mlp 64": "hidden = [64]",
    "mlp 32-32": "hidden = [32, 32]",
    "mlp 128-128": "hidden = [128, 128]",
    "mlp gelu": 'hidden = [64, 64], activation = "gelu"',
    "mlp sigmoid": 'hidden = [32], activation = "sigmoid"',
    "mlp dropout": "hidden = [64, 64], dropout = 0.3",
    "norm 32-32": "hidden = [32, 32], batch_norm = true",
    "relu 6x24": f"hidden = [{', '.join(['24'] * 6)}]",
    "norm 64": "hidden = [64], batch_norm = true",
    "tanh 8x12": f'hidden = [{", ".join(["12"] * 8)}], activation = "tanh"',
    "tanh 4x24": f'hidden = [{", ".join(["24"] * 4)}], activation = "tanh"',
    "tanh 6x16": f'hidden = [{", ".join(["16"] * 6)}], activation = "tanh"',
    "cnn 8": 'name = "cnn", filters = [8], hidden = [32]',
    "cnn 8-16": 'name = "cnn", filters = [8, 16], hidden = []',
    "cnn tanh": 'name = "cnn", filters = [6, 12], hidden = [24], activation = "tanh"',
    "cnn norm": 'name = "cnn", filters = [8, 8], hidden = [16], batch_norm = true',
    "transformer 16": 'factory = "nets.py:transformer", width = 16, layers = 1, parts = 6',
    "transformer 24": 'factory = "nets.py:transformer", width = 24, layers = 2, parts = 8',
}

SCHEDULES = {
    "constant": 'name = "constant"',
    "cosine": 'name = "cosine", warmup = 0.1',
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One training whose learning rate is asked for; `half` is "tuning" or "reporting"."""

    half: str
    data: str
    model: str
    optimizer: str
    batch_size: int | str
    epochs: int
    schedule: str

    @property
    def name(self) -> str:
        """Unique among the tasks."""
        return (
            f"{self.data}, {self.model}, {self.optimizer}, batch {self.batch_size}, {self.schedule}"
        )

    def config(self, lr: float | None = None) -> Config:
        """The config, with this learning rate or the optimizer's default."""
        rate = "" if lr is None else f", lr = {lr!r}"
        text = (
            f'data = {{ source = "{DATA[self.data]}" }}\n'
            f"model = {{ {MODELS[self.model]} }}\n"
            f'optim = {{ name = "{self.optimizer}"{rate} }}\n'
            f"schedule = {{ {SCHEDULES[self.schedule]} }}\n"
            f"train = {{ epochs = {self.epochs}, batch_size = {self._batch}, device = 'cpu' }}\n"
            'objective = { metric = "dev_loss" }\n'
        )
        return parse_recipe(text, folder=FOLDER).config()

    @property
    def _batch(self) -> str:
        return f'"{self.batch_size}"' if isinstance(self.batch_size, str) else str(self.batch_size)


def _half(name: str, table: str) -> list[Task]:
    tasks = []
    for line in table.strip().splitlines():
        data, model, optimizer, batch, epochs, schedule = map(str.strip, line.split("|"))
        task = Task(
            half=name,
            data=data,
            model=model,
            optimizer=optimizer,
            batch_size=batch if batch == "full" else int(batch),
            epochs=int(epochs),
            schedule=schedule,
        )
        tasks.append(task)
    return tasks


TUNING = _half(
    "tuning",
    """
    digits        | linear         | sgd      | 64   | 20 | constant
    digits        | linear         | adam     | full | 80 | cosine
    wine          | linear         | momentum | 16   | 30 | constant
    teacher       | mlp 64         | sgd      | 32   | 15 | cosine
    teacher       | mlp 64         | adam     | 64   | 15 | constant
    teacher       | mlp dropout    | adamw    | 64   | 20 | cosine
    digits        | mlp 32-32      | sgd      | 64   | 15 | constant
    digits        | mlp 32-32      | momentum | 32   | 10 | cosine
    digits        | mlp 128-128    | adam     | 64   | 10 | constant
    digits        | mlp gelu       | adamw    | 128  | 20 | cosine
    digits        | mlp 128-128    | rmsprop  | 64   | 10 | cosine
    breast_cancer | mlp 16         | sgd      | 32   | 20 | cosine
    breast_cancer | mlp 32-32      | adam     | 16   | 15 | constant
    friedman      | mlp 32-32      | momentum | 64   | 30 | constant
    friedman      | mlp 64         | rmsprop  | 32   | 15 | constant
    spirals       | mlp 32-32      | adam     | 32   | 40 | cosine
    iris          | mlp sigmoid    | momentum | 16   | 40 | constant
    digits        | norm 32-32     | sgd      | 64   | 12 | cosine
    digits        | norm 64        | adam     | 32   | 10 | constant
    friedman      | norm 32-32     | adamw    | 64   | 20 | constant
    digits        | tanh 8x12      | momentum | 64   | 60 | constant
    teacher       | tanh 6x16      | adam     | 64   | 50 | cosine
    digits        | cnn 8          | momentum | 64   | 8  | cosine
    digits        | cnn 8-16       | adam     | 64   | 8  | constant
    digits        | cnn norm       | sgd      | 64   | 8  | constant
    digits        | transformer 16 | adam     | 64   | 10 | constant
    tones         | transformer 16 | sgd      | 64   | 60 | cosine
    iris          | linear         | sgd      | 16   | 40 | cosine
    breast_cancer | linear         | adam     | 32   | 20 | constant
    friedman      | linear         | momentum | 64   | 20 | cosine
    teacher       | mlp 128-128    | momentum | 64   | 15 | constant
    teacher       | mlp sigmoid    | sgd      | 32   | 30 | constant
    digits        | mlp 16         | adamw    | 16   | 8  | constant
    digits        | mlp dropout    | momentum | 64   | 20 | cosine
    wine          | mlp 32-32      | rmsprop  | 16   | 20 | cosine
    breast_cancer | mlp gelu       | momentum | 64   | 25 | constant
    diabetes      | mlp gelu       | adamw    | 64   | 20 | constant
    diabetes      | mlp 64         | sgd      | 32   | 25 | cosine
    friedman      | mlp gelu       | sgd      | 32   | 30 | constant
    spirals       | mlp 128-128    | rmsprop  | 64   | 40 | cosine
    digits        | relu 6x24      | momentum | 64   | 20 | constant
    friedman      | relu 6x24      | adam     | 64   | 25 | cosine
    teacher       | norm 64        | momentum | 128  | 15 | constant
    breast_cancer | norm 32-32     | adam     | 32   | 15 | cosine
    digits        | tanh 4x24      | sgd      | 32   | 30 | cosine
    friedman      | tanh 6x16      | momentum | 64   | 60 | constant
    breast_cancer | tanh 8x12      | rmsprop  | 32   | 40 | cosine
    digits        | cnn tanh       | sgd      | 64   | 15 | cosine
    digits        | cnn 8-16       | momentum | 128  | 15 | constant
    digits        | cnn norm       | adamw    | 64   | 8  | cosine
    digits        | transformer 24 | adamw    | 32   | 8  | cosine
    digits        | transformer 16 | momentum | 64   | 20 | constant
    """,
)

REPORTING = _half(
    "reporting",
    """
    breast_cancer | linear         | momentum | full | 80 | constant
    sparse        | linear         | adamw    | 32   | 15 | cosine
    diabetes      | linear         | sgd      | 32   | 20 | constant
    sparse        | mlp 64         | momentum | 64   | 15 | constant
    sparse        | mlp 32-32      | rmsprop  | 32   | 10 | cosine
    tones         | mlp 128-128    | adam     | 64   | 15 | cosine
    tones         | mlp gelu       | sgd      | 64   | 25 | constant
    tones         | mlp dropout    | adam     | 32   | 15 | constant
    steps         | mlp 32-32      | adamw    | 32   | 20 | constant
    steps         | mlp gelu       | momentum | 64   | 25 | cosine
    diabetes      | mlp 16         | adam     | 32   | 25 | cosine
    diabetes      | mlp 32-32      | rmsprop  | 16   | 15 | constant
    wine          | mlp 16         | adamw    | 16   | 25 | constant
    iris          | mlp 32-32      | sgd      | 16   | 40 | cosine
    spirals       | mlp 64         | momentum | 64   | 40 | constant
    spirals       | mlp gelu       | adamw    | 32   | 30 | cosine
    digits        | mlp sigmoid    | adam     | 64   | 12 | constant
    teacher       | norm 32-32     | momentum | 64   | 15 | cosine
    sparse        | norm 64        | rmsprop  | 32   | 10 | constant
    tones         | norm 32-32     | sgd      | 32   | 15 | constant
    spirals       | tanh 8x12      | adam     | 32   | 80 | constant
    tones         | tanh 6x16      | momentum | 64   | 99 | cosine
    digits        | tanh 6x16      | adamw    | 32   | 30 | cosine
    bars          | cnn 8          | adam     | 64   | 8  | constant
    bars          | cnn 8-16       | sgd      | 32   | 8  | cosine
    bars          | cnn norm       | momentum | 64   | 8  | cosine
    bars          | transformer 24 | adamw    | 64   | 10 | cosine
    tones         | transformer 24 | momentum | 64   | 40 | constant
    steps         | linear         | adam     | 64   | 20 | constant
    sparse        | linear         | sgd      | 32   | 20 | constant
    tones         | mlp 64         | rmsprop  | 64   | 15 | constant
    tones         | mlp 16         | momentum | 32   | 25 | cosine
    sparse        | mlp sigmoid    | adam     | 64   | 20 | cosine
    sparse        | mlp dropout    | sgd      | 32   | 25 | constant
    steps         | mlp 64         | sgd      | 64   | 30 | constant
    steps         | mlp 128-128    | adam     | 32   | 15 | cosine
    bars          | mlp 64         | adam     | 64   | 15 | constant
    bars          | mlp 32-32      | momentum | 64   | 20 | cosine
    bars          | mlp dropout    | adamw    | 32   | 15 | constant
    iris          | mlp gelu       | adam     | 16   | 20 | constant
    wine          | mlp 64         | sgd      | 16   | 25 | cosine
    sparse        | relu 6x24      | adamw    | 64   | 20 | constant
    tones         | relu 6x24      | sgd      | 32   | 40 | cosine
    steps         | norm 32-32     | adam     | 64   | 20 | cosine
    bars          | norm 64        | sgd      | 64   | 12 | constant
    bars          | norm 32-32     | rmsprop  | 32   | 12 | cosine
    steps         | tanh 4x24      | adam     | 64   | 30 | constant
    sparse        | tanh 8x12      | momentum | 32   | 50 | cosine
    tones         | tanh 4x24      | adamw    | 64   | 40 | cosine
    bars          | cnn tanh       | momentum | 64   | 15 | constant
    bars          | cnn 8-16       | adamw    | 128  | 12 | cosine
    bars          | cnn norm       | rmsprop  | 64   | 8  | constant
    bars          | transformer 16 | adam     | 32   | 10 | constant
    tones         | transformer 16 | adam     | 64   | 25 | cosine
    """,
)

TASKS = [*TUNING, *REPORTING]
