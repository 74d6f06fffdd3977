"""Models of a user, well and badly behaved; the tests copy this file into a run folder."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

HERE = Path(__file__).parent


class Net(nn.Module):
    def __init__(self, inputs: tuple[int, ...], outputs: int, width: int = 8) -> None:
        super().__init__()
        self.inner = nn.Linear(*inputs, width)
        self.outer = nn.Linear(width, outputs)

    def act(self, x: torch.Tensor) -> torch.Tensor:
        """What the model does in training beside its arithmetic."""
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.inner(x))
        return self.outer(self.act(x) if self.training else x)


def build(inputs: tuple[int, ...], outputs: int, width: int = 8, label: str = "") -> nn.Module:
    return Net(inputs, outputs, width)


def with_dropout(inputs: tuple[int, ...], outputs: int, p: float) -> nn.Module:
    return nn.Sequential(Net(inputs, outputs), nn.Dropout(p))


def cannot_be_built(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    raise ValueError("out of bricks")


class Killed(Net):
    def act(self, x: torch.Tensor) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return x


def killed(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    return Killed(inputs, outputs)


class KilledOnce(Net):
    """The first process that trains it is killed, in the second epoch."""

    epochs = 0

    def train(self, mode: bool = True) -> nn.Module:
        self.epochs += mode
        return super().train(mode)

    def act(self, x: torch.Tensor) -> torch.Tensor:
        if self.epochs > 2:  # `build_model` has switched it to training before
            try:
                (HERE / "was-killed").touch(exist_ok=False)
            except FileExistsError:
                return x
            os.kill(os.getpid(), signal.SIGKILL)
        return x


def killed_once(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    return KilledOnce(inputs, outputs)


class Own(BaseException):
    pass


ANYTHING = {
    "cancelled": asyncio.CancelledError,
    "interrupt": KeyboardInterrupt,
    "closing": GeneratorExit,
    "exit": SystemExit,
    "stop": StopIteration,
    "own": Own,
}


class RaisesAnything(Net):
    """Raises what is no Exception, at the place that is asked for."""

    kind = place = ""

    def meet(self, place: str) -> None:
        if place == self.place:
            raise ANYTHING[self.kind]("enough")

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.meet("training")
        if rows_of(x) > 2:
            self.meet("stack")
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.meet("forward")
        return super().forward(x)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        self.meet("state_dict")
        return super().state_dict(*args, **kwargs)


def raises_anything(inputs: tuple[int, ...], outputs: int, kind: str, place: str) -> nn.Module:
    net = RaisesAnything(inputs, outputs)
    net.kind, net.place = kind, place
    net.meet("factory")
    return net


class Interrupted(Net):
    def act(self, x: torch.Tensor) -> torch.Tensor:
        signal.raise_signal(signal.SIGINT)
        return x


def interrupted(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    return Interrupted(inputs, outputs)


class Exits(Net):
    code = 0

    def act(self, x: torch.Tensor) -> torch.Tensor:
        os._exit(self.code)


def exits(inputs: tuple[int, ...], outputs: int, code: int) -> nn.Module:
    net = Exits(inputs, outputs)
    net.code = code
    return net


class Hangs(Net):
    def act(self, x: torch.Tensor) -> torch.Tensor:
        (HERE / f"pid-{os.getpid()}").touch()
        time.sleep(600)
        return x


def hangs(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    return Hangs(inputs, outputs)


class KeepsTheLock(Net):
    """One call that takes a minute and lets no other thread of its process have a turn."""

    def act(self, x: torch.Tensor) -> torch.Tensor:
        (HERE / f"pid-{os.getpid()}").touch()
        re.match("(a*)*b", 32 * "a")
        return x


def keeps_the_lock(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    return KeepsTheLock(inputs, outputs)


class LoadsInProcesses(Net):
    """Reads batches of its own, by processes of torch's."""

    def act(self, x: torch.Tensor) -> torch.Tensor:
        loader = DataLoader(TensorDataset(torch.zeros(100, 1)), num_workers=1)
        for _ in loader:
            (HERE / f"pid-{os.getpid()}").touch()
            time.sleep(600)
        return x


def loads_in_processes(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    return LoadsInProcesses(inputs, outputs)


class Slow(Net):
    """An epoch over the wines takes 0.2 s; leaves its process's number behind."""

    def act(self, x: torch.Tensor) -> torch.Tensor:
        (HERE / f"pid-{os.getpid()}").touch()
        time.sleep(0.05)
        return x


def slow(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    return Slow(inputs, outputs)


class Raises(Net):
    def act(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("no, thanks")


def raises(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    return Raises(inputs, outputs)


def rows_of(x: torch.Tensor) -> int:
    """How many rows the stack has that x is of; 1 outside of a stack."""
    functorch = torch._C._functorch
    if not functorch.is_batchedtensor(x):
        return 1
    return int(functorch.get_unwrapped(x).shape[functorch.maybe_get_bdim(x)])


class Large(Net):
    """More than two of it do not fit into the memory."""

    def act(self, x: torch.Tensor) -> torch.Tensor:
        if rows_of(x) > 2:
            raise MemoryError
        return x


def large(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    return Large(inputs, outputs)


class Fussy(Net):
    """Bears a neighbour for some updates, and not for more."""

    calls = 0

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls > 5 and torch._C._functorch.is_batchedtensor(x):
            raise ValueError("alone, please")
        return x


def fussy(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    return Fussy(inputs, outputs)


class Recurrent(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.inner = nn.LSTM(1, 4, batch_first=True)
        self.outer = nn.Linear(4, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outer(self.inner(x.unsqueeze(-1))[0][:, -1])


def recurrent(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    return Recurrent(outputs)


class KilledAmong(Net):
    """Kills its process where it is a row of a stack of more than so many."""

    rows = 0

    def act(self, x: torch.Tensor) -> torch.Tensor:
        if rows_of(x) > self.rows:
            os.kill(os.getpid(), signal.SIGKILL)
        return x


def killed_among(inputs: tuple[int, ...], outputs: int, rows: int) -> nn.Module:
    net = KilledAmong(inputs, outputs)
    net.rows = rows
    return net


class TellsItsThreads(Net):
    def act(self, x: torch.Tensor) -> torch.Tensor:
        (HERE / f"threads-{torch.get_num_threads()}").touch()
        return x


def tells_its_threads(inputs: tuple[int, ...], outputs: int, width: int) -> nn.Module:
    return TellsItsThreads(inputs, outputs, width)
