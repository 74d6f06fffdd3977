"""A data set as tensors on the device, so that a batch is an index gather."""

from __future__ import annotations

import dataclasses
import functools

import torch

from dltune.data.dataset import SPLIT_FIELDS, SPLITS, Dataset, Examples
from dltune.errors import DataError, TrainingError
from dltune.recipe.schema import TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)  # tensors do not compare to a bool
class Tensors:
    """One split on the device.

    features  float32 (n, *inputs); float64 after `in_double`.
    targets   int64 (n,) for classes, as the features (n, outputs) for regression.
    """

    features: torch.Tensor
    targets: torch.Tensor

    def __len__(self) -> int:
        return self.features.shape[0]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DeviceData:
    """All splits on one device, with what a trial must know of them.

    task     "classification" or "regression".
    inputs   shape of one example.
    outputs  classes or targets.
    """

    device: torch.device
    task: str
    inputs: tuple[int, ...]
    outputs: int
    train: Tensors
    dev: Tensors
    test: Tensors | None
    train_dev: Tensors | None


def resolve_device(train: TrainConfig) -> torch.device:
    """The device of a recipe's [train]; "auto" takes CUDA, then Apple's GPU, then the CPU.

    Raises TrainingError if the named device is not there, or has no numbers of `train.precision`.

    >>> resolve_device(TrainConfig(device="cpu"))
    device(type='cpu')
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    present = [kind for kind, is_there in available.items() if is_there]
    kind = present[0] if train.device == "auto" else train.device
    if kind not in present:
        raise TrainingError(
            f"train.device = {kind!r}: torch {torch.__version__} finds no such device here "
            f"(it finds {', '.join(present)})",
            hint="Try --device cpu, or --device auto.",
        )
    check_precision(train.precision, kind=kind)
    return torch.device(kind)


def check_precision(precision: str, *, kind: str) -> None:
    """Raise TrainingError if a kind of device has no numbers of a `train.precision`.

    kind  "cpu", "cuda" or "mps".

    >>> check_precision("float64", kind="cuda")
    >>> check_precision("float64", kind="mps")
    Traceback (most recent call last):
    dltune.errors.TrainingError: train.precision = 'float64': Apple's GPU (mps) has no such numbers
    Try --device cpu, or --set train.precision=float32.

    Source: torch's notes on MPS; Metal's shading language has no double.
    """
    if kind == "mps" and precision == "float64":
        raise TrainingError(
            f"train.precision = {precision!r}: Apple's GPU (mps) has no such numbers",
            hint="Try --device cpu, or --set train.precision=float32.",
        )


def wait_for(device: torch.device) -> None:
    """Return when the device has done all that it was given; the CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def to_device(dataset: Dataset, device: torch.device) -> DeviceData:
    """Move all splits of a data set to a device; on the CPU they share memory with the arrays.

    Raises DataError if a split's regression targets are constant: 1 - R^2 is not defined there.
    """

    def tensors(examples: Examples | None, split: str) -> Tensors | None:
        if examples is None:
            return None
        moved = Tensors(
            features=torch.from_numpy(examples.features).to(device),
            targets=torch.from_numpy(examples.targets).to(device),
        )
        if dataset.task == "regression" and bool(
            (moved.targets.amax(0) == moved.targets.amin(0)).any()
        ):
            raise DataError(
                f"{dataset.name}: the target is constant in the {split} split of {len(moved)} "
                "examples: 1 - R^2 is not defined there",
                # A target that varies in train, as was checked, is constant only to float32.
                hint="float32 does not tell its values apart: --set data.normalize_target=zscore."
                if split == "train"
                else _more_of(dataset, split),
            )
        return moved

    train, dev = tensors(dataset.train, "train"), tensors(dataset.dev, "dev")
    assert train is not None
    assert dev is not None
    return DeviceData(
        device=device,
        task=dataset.task,
        inputs=dataset.input_shape,
        outputs=dataset.outputs,
        train=train,
        dev=dev,
        test=tensors(dataset.test, "test"),
        train_dev=tensors(dataset.train_dev, "train-dev"),
    )


def _more_of(dataset: Dataset, split: str) -> str:
    """How to get a split with more examples."""
    if split in dataset.given:
        return f"Give a {split} set whose targets differ."
    counts = dataset.examples
    sizes = {name: counts[field] or 0 for name, field in zip(SPLITS, SPLIT_FIELDS, strict=True)}
    cut = {name: size for name, size in sizes.items() if name not in {*dataset.given} - {"train"}}
    share = round(1.5 * cut[split] / sum(cut.values()), 3)
    others = sum(cut.values()) - cut["train"] - cut[split]
    if share + others / sum(cut.values()) >= 1:
        return "Give more examples."
    return f"Try a larger share, such as --set data.split.{split}={share:g}."


# A study has one data set or a few (`search.data_shelf.KEPT`).
@functools.lru_cache(maxsize=4)
def in_double(data: DeviceData) -> DeviceData:
    """The same data in float64; classes stay integers."""

    def doubled(split: Tensors | None) -> Tensors | None:
        if split is None:
            return None
        targets = split.targets.double() if split.targets.is_floating_point() else split.targets
        return Tensors(features=split.features.double(), targets=targets)

    splits = {name: doubled(getattr(data, name)) for name in SPLIT_FIELDS}
    return dataclasses.replace(data, **splits)  # type: ignore[arg-type]
