"""JSON back to dataclasses: what is of another kind is told, and never taken."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pytest

from dltune.runs.from_json import checked, parse_json
from dltune.runs.storage import attributes_of, record_of
from dltune.training.history import TrialRecord, TrialState

TRIAL = TrialRecord(
    number=3,
    seed=7,
    state=TrialState.COMPLETE,
    objective=0.5,
    best_epoch=1,
    epochs=2,
    examples={"dev": 36},
    values={"optim.lr": 0.1, "model.hidden": [8]},
    config={"optim.lr": 0.1, "data.target": None},
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    share: float | None = None
    option: int | float = 0
    is_small: bool = False
    names: tuple[str, ...] = ()
    inner: tuple[Inner, ...] = ()
    sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    anything: Any = None


def test_a_dataclass_comes_back_from_json() -> None:
    outer = Outer(
        share=0.5, option=3, names=("a",), inner=(Inner(size=1),), sizes={"b": 2}, anything=[{}]
    )
    assert checked(Outer, json.loads(json.dumps(dataclasses.asdict(outer)))) == outer
    assert checked(Outer, {"share": 1}).share == 1.0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("share", "0.5", 'share is "0.5": must be a number'),
        ("share", True, "share is true: must be a number"),
        ("share", 10**400, "too large"),
        ("option", None, "option is null: must be a number"),
        ("is_small", 1, "is_small is 1: must be true or false"),
        ("names", "ab", 'names is "ab": must be a list'),
        ("names", ["a", 3], r'names is \["a", 3\]: must be text'),
        ("inner", [{"size": 1.0}], "size is 1.0: must be a whole number"),
        ("inner", [[]], "must be an object"),
        ("sizes", {"a": 2**64}, "must be within 64 bits"),
        ("anything", [{"a": 2**64}], "must be within 64 bits"),
        ("unknown", 1, "Outer has no"),
    ],
)
def test_what_is_of_another_kind_is_told(field: str, value: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        checked(Outer, {field: value})


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        "[" * 200 + "]" * 200,
        "1" + "0" * 5000,
        b'"\xff"',
        "{",
        "",
    ],
    ids=["very deep", "deep", "long", "no UTF-8", "cut", "empty"],
)
def test_text_that_nobody_can_work_with_is_no_json(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # each has its own text, of json's
        parse_json(text)


def test_many_short_lists_are_fine() -> None:
    assert parse_json("[" + "[],{}," * 1000 + "0]")[-1] == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", None),
        ("values", []),
        ("objective", "0.5"),
        ("number", -1),
        ("number", True),
        ("epochs", -1),
        ("seconds", float("nan")),
        ("best_epoch", 0),
        ("examples", {"dev": -3}),
        ("examples", {"dev": "many"}),
        ("state", "unheard of"),
        ("reason", None),
    ],
)
def test_a_trial_of_other_kinds_is_refused(name: str, value: Any) -> None:
    stored = json.loads(json.dumps(attributes_of(TRIAL)))
    assert record_of(stored, place=0) == TRIAL
    with pytest.raises((TypeError, ValueError)):
        record_of(stored | {name: value}, place=0)
