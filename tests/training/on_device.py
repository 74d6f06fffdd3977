"""A data set of the tests on another device."""

from __future__ import annotations

import dataclasses

import torch

from dltune.data.device import DeviceData, Tensors


def moved(data: DeviceData, device: torch.device) -> DeviceData:
    def there(split: Tensors | None) -> Tensors | None:
        if split is None:
            return None
        return Tensors(features=split.features.to(device), targets=split.targets.to(device))

    splits = {name: there(getattr(data, name)) for name in ("train", "dev", "test", "train_dev")}
    return dataclasses.replace(data, device=device, **splits)  # type: ignore[arg-type]
