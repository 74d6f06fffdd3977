"""The data sets that come with scikit-learn, read without a download."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dltune.data.dataset import Task
from dltune.data.raw import Column, NumericColumn, RawData, TextColumn, text_from_numbers
from dltune.data.selection import refuse_target, select_columns
from dltune.errors import DataError, closest
from dltune.recipe.schema import DataConfig

PREFIX = "sklearn:"

TASKS: dict[str, Task] = {
    "breast_cancer": "classification",
    "diabetes": "regression",
    "digits": "classification",
    "iris": "classification",
    "linnerud": "regression",
    "wine": "classification",
}
"""The bundled sets and what each is for, as scikit-learn's user guide ("Toy datasets") says."""

DOWNLOADED = {
    "20newsgroups_vectorized": "fetch_20newsgroups_vectorized",
    "california_housing": "fetch_california_housing",
    "covtype": "fetch_covtype",
    "kddcup99": "fetch_kddcup99",
    "lfw_people": "fetch_lfw_people",
    "olivetti_faces": "fetch_olivetti_faces",
}


def read_bundled(config: DataConfig) -> RawData:
    """Read "sklearn:NAME". The digits come as images (1, 8, 8), the others as named columns.

    Raises DataError for a name that is not bundled.

    >>> raw = read_bundled(DataConfig(source="sklearn:digits"))
    >>> raw.features.shape, raw.task
    ((1797, 1, 8, 8), 'classification')
    """
    name = config.source.removeprefix(PREFIX)
    if name not in TASKS:
        raise _unknown(name)
    if name == "digits":
        return _read_digits(config)
    bunch = getattr(importlib.import_module("sklearn.datasets"), f"load_{name}")()
    task, origin = TASKS[name], config.source
    targets = _targets(bunch, task)
    columns = [str(column) for column in bunch.feature_names]
    selection = select_columns(columns, config, origin=origin, own_target=True)
    data = np.asarray(bunch.data)
    return RawData(
        name=name,
        origin=origin,
        features=tuple(
            _feature(column, data[:, columns.index(column)], column in selection.forced)
            for column in selection.features
        ),
        targets=targets,
        task=task,
        forced=selection.forced,
    )


def _read_digits(config: DataConfig) -> RawData:
    origin = config.source
    refuse_target(config, origin)
    if config.drop or config.categorical:
        raise DataError(
            f"{origin}: holds images, which have no columns for data.drop or data.categorical",
            hint="Take these keys out of the recipe.",
        )
    table = _digits_table()
    images = np.ascontiguousarray(table[:, :64]).reshape(-1, 1, 8, 8)
    # Numbers, should one regress on them.
    target = NumericColumn(name="target", values=table[:, 64].astype(np.float64))
    return RawData(
        name="digits",
        origin=origin,
        features=images,
        targets=(target,),
        task=TASKS["digits"],
    )


def _digits_table() -> NDArray[np.float32]:
    """The digits (n, 65): 64 pixels and the digit.

    Read from scikit-learn's own file where it is found: the data that nearly everybody starts with
    are then there in a tenth of the time that importing the library takes.
    """
    package = importlib.util.find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.exists():
            return np.loadtxt(file, delimiter=",", dtype=np.float32)
    data, target = importlib.import_module("sklearn.datasets").load_digits(return_X_y=True)
    return np.column_stack([data, target]).astype(np.float32)


def _feature(name: str, values: NDArray[Any], as_text: bool) -> Column:
    if as_text:
        return text_from_numbers(name, values)
    return NumericColumn(name=name, values=values)


def _targets(bunch: Any, task: Task) -> tuple[Column, ...]:
    values = np.asarray(bunch.target)
    if task == "regression":
        names = [str(name) for name in bunch.get("target_names", ["target"])]
        table = values.reshape(len(values), -1).astype(np.float64)  # (n,) -> (n, 1)
        return tuple(
            NumericColumn(name=name, values=table[:, output]) for output, name in enumerate(names)
        )
    names = [str(name) for name in bunch.target_names]
    return (TextColumn(name="target", codes=values.astype(np.int32), categories=tuple(names)),)


def _unknown(name: str) -> DataError:
    bundled = ", ".join(TASKS)
    near = closest(name, [*TASKS, *DOWNLOADED])
    if near in DOWNLOADED:
        function = DOWNLOADED[near]
        return DataError(
            f"data.source = 'sklearn:{name}': scikit-learn downloads {near}, and dltune "
            f"downloads nothing. Bundled are {bundled}",
            hint=f"Fetch it yourself: write a file my_data.py with def load(): return "
            f"sklearn.datasets.{function}(return_X_y=True), and --set data.source=my_data.py:load.",
        )
    meant = f"; did you mean '{PREFIX}{near}'?" if near is not None else "."
    return DataError(
        f"data.source = 'sklearn:{name}': scikit-learn bundles no such set{meant} "
        f"Bundled are {bundled}",
        hint=f"Try --set data.source={PREFIX}{near or 'digits'}.",
    )
