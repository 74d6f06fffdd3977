"""Grids, cells and checks of the five kinds of range."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dltune.errors import RecipeError
from dltune.recipe.ranges import Choice, Int, IntLog, Log, Range, Uniform, parse_range

units = st.floats(0, 1)
points = st.none() | st.integers(2, 40)
per_decades = st.none() | st.integers(1, 12)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    first = draw(st.floats(-12, 6))
    low = 10.0**first
    high = 10.0 ** (first + draw(st.floats(1e-3, 12)))
    if draw(st.booleans()):
        return Log(low, high, points=draw(points))
    return Log(low, high, per_decade=draw(per_decades))


@st.composite
def uniforms(draw: st.DrawFn) -> Uniform:
    low = draw(st.floats(-1e6, 1e6))
    return Uniform(low, low + draw(st.floats(1e-3, 1e6)), points=draw(points))


@st.composite
def stepped(draw: st.DrawFn) -> Uniform:
    step = draw(st.integers(1, 500)) / 100
    low = draw(st.integers(-500, 500)) / 100
    return Uniform(low, round(low + draw(st.integers(1, 50)) * step, 2), step=step)


@st.composite
def ints(draw: st.DrawFn) -> Int:
    low = draw(st.integers(-(10**9), 10**9))
    if draw(st.booleans()):
        return Int(low, low + draw(st.integers(1, 10**9)), points=draw(points))
    step = draw(st.integers(1, 100))
    return Int(low, low + step * draw(st.integers(1, 100)), step=step)


@st.composite
def int_logs(draw: st.DrawFn) -> IntLog:
    low = draw(st.integers(1, 10**9))
    high = low + draw(st.integers(1, 10**11))
    if draw(st.booleans()):
        return IntLog(low, high, points=draw(points))
    return IntLog(low, high, per_decade=draw(per_decades))


scalars = st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | st.text(max_size=3)


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    # A list of one is never the same as its item; true and 1 differ, 1 and 1.0 do not.
    options = draw(st.lists(scalars | st.lists(scalars, max_size=2), min_size=1, max_size=6))
    kept: list[object] = []
    for option in options:
        if not any(Choice((other,)).contains(option) for other in kept):
            kept.append(option)
    return Choice(tuple(kept))


ranges = st.one_of(logs(), uniforms(), stepped(), ints(), int_logs(), choices())
exact_ranges = st.one_of(stepped(), ints(), int_logs(), choices())
bounded_ranges = st.one_of(logs(), uniforms(), stepped(), ints(), int_logs())


@given(ranges, units)
def test_every_value_of_a_range_may_be_its_start(values: Range, unit: float) -> None:
    start = values.from_unit(unit)
    begun = dataclasses.replace(values, start=start)
    assert begun.start == start
    assert parse_range(begun.toml()) == begun
    assert parse_range(values.toml()) == values


def test_the_start_of_a_choice_is_its_option_in_type_too() -> None:
    assert repr(Choice((1, 2), 1.0).start) == "1"
    with pytest.raises(RecipeError, match=r"^start = true: must be one of the options \[1, 2\]$"):
        Choice((1, 2), True)


@given(ranges, units)
def test_every_coordinate_gives_a_value_of_the_range(values: Range, unit: float) -> None:
    assert values.contains(values.from_unit(unit))


@given(ranges, units)
def test_every_value_has_a_coordinate_in_the_unit_interval(values: Range, unit: float) -> None:
    assert 0 <= values.to_unit(values.from_unit(unit)) <= 1


@given(exact_ranges, units)
def test_cells_come_back_exactly(values: Range, unit: float) -> None:
    value = values.from_unit(unit)
    again = values.from_unit(values.to_unit(value))
    assert again == value
    assert type(again) is type(value)


@given(st.one_of(logs(), uniforms()), units)
def test_floats_come_back_up_to_rounding(values: Log | Uniform, unit: float) -> None:
    value = values.from_unit(unit)
    scale = max(abs(values.low), abs(values.high)) if isinstance(values, Uniform) else value
    assert abs(values.from_unit(values.to_unit(value)) - value) <= 1e-12 * scale


@given(bounded_ranges)
def test_ends_of_the_unit_interval_are_the_bounds(values: Log | Uniform | Int | IntLog) -> None:
    assert [values.from_unit(unit) for unit in (-0.5, 0, 1, 1.5)] == [
        values.low,
        values.low,
        values.high,
        values.high,
    ]


@given(bounded_ranges, units, units)
def test_larger_coordinates_give_larger_values(
    values: Log | Uniform | Int | IntLog, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert values.from_unit(low) <= values.from_unit(high)


@given(bounded_ranges)
def test_grids_rise_from_bound_to_bound(values: Log | Uniform | Int | IntLog) -> None:
    grid = values.grid()
    assert (grid[0], grid[-1]) == (values.low, values.high)
    assert all(one < other for one, other in pairwise(grid))
    assert all(values.contains(point) for point in grid)


@given(logs())
def test_log_grids_are_even_in_the_exponent(values: Log) -> None:
    gaps = [math.log10(b) - math.log10(a) for a, b in pairwise(values.grid())]
    width = math.log10(values.high) - math.log10(values.low)
    assert gaps == pytest.approx([width / len(gaps)] * len(gaps), abs=1e-9)


@given(uniforms())
def test_uniform_grids_are_even(values: Uniform) -> None:
    gaps = [b - a for a, b in pairwise(values.grid())]
    width = values.high - values.low
    assert gaps == pytest.approx([width / len(gaps)] * len(gaps), abs=1e-9 * max(1, width))


@given(int_logs())
def test_int_log_grids_are_the_rounded_log_grid(values: IntLog) -> None:
    exact = Log(values.low, values.high, points=values.points, per_decade=values.per_decade)
    assert values.grid() == sorted({round(point) for point in exact.grid()})


@given(ranges)
def test_the_table_of_a_range_gives_the_range(values: Range) -> None:
    table = values.toml()
    kind = next(iter(table))
    if isinstance(values, Choice):
        assert Choice(tuple(table[kind])) == values
    else:
        counts = {key: count for key, count in table.items() if key != kind}
        assert type(values)(*table[kind], **counts) == values


@pytest.mark.parametrize(
    ("values", "grid"),
    [
        pytest.param(Log(1e-5, 1e-1), [1e-5, 1e-4, 1e-3, 1e-2, 1e-1], id="five without a count"),
        pytest.param(Log(1e-3, 1e-1, points=2), [1e-3, 1e-1], id="two points are the bounds"),
        pytest.param(Log(1, 100, per_decade=1), [1.0, 10.0, 100.0], id="one a decade"),
        pytest.param(Log(1, 2, per_decade=1), [1.0, 2.0], id="never less than two"),
        pytest.param(Uniform(0, 0.3, points=4), [0.0, 0.1, 0.2, 0.3], id="uniform points"),
        pytest.param(Uniform(0, 0.3, step=0.1), [0.0, 0.1, 0.2, 0.3], id="uniform step"),
        pytest.param(Int(1, 3), [1, 2, 3], id="no more integers than there are"),
        pytest.param(Int(1, 100), [1, 26, 50, 75, 100], id="five integers"),
        pytest.param(Int(2, 10, step=4), [2, 6, 10], id="integer step"),
        pytest.param(IntLog(1, 4), [1, 2, 3, 4], id="rounded, duplicates dropped"),
        pytest.param(IntLog(16, 256), [16, 32, 64, 128, 256], id="powers of two"),
        pytest.param(IntLog(1, 1000, per_decade=1), [1, 10, 100, 1000], id="integer decades"),
        pytest.param(Choice(("relu", [1, 2])), ["relu", [1, 2]], id="options"),
    ],
)
def test_grid(values: Range, grid: list[object]) -> None:
    assert values.grid() == grid


def test_every_integer_of_a_log_range_owns_the_cell_around_it() -> None:
    values = IntLog(1, 4)
    width = math.log(4.5 / 0.5)
    for whole in range(1, 5):
        edges = [math.log((whole + side) / 0.5) / width for side in (-0.5, 0.5)]
        assert values.from_unit(edges[0] + 1e-9) == whole
        assert values.from_unit(edges[1] - 1e-9) == whole


def test_stepped_values_are_the_only_ones() -> None:
    values = Uniform(0, 1, step=0.25)
    assert {values.from_unit(unit / 100) for unit in range(101)} == {0.0, 0.25, 0.5, 0.75, 1.0}


@pytest.mark.parametrize(
    ("values", "inside", "outside"),
    [
        pytest.param(
            Log(1e-5, 1e-1),
            [1e-5, 1e-5 * (1 - 1e-13), 0.1 * (1 + 1e-13), 1e-3],
            [9.9e-6, 0.10001, 0, -1, True, "1e-3", math.nan, math.inf, None],
            id="log",
        ),
        pytest.param(Uniform(0, 1), [0, 1, 0.5], [-1e-9, 1.1, True, "0.5"], id="uniform"),
        pytest.param(Uniform(0, 1, step=0.1), [0, 0.3, 1.0], [0.25, 1.1], id="uniform step"),
        pytest.param(Int(1, 9, step=2), [1, 3, 9], [2, 11, 3.0, True, "3"], id="int"),
        pytest.param(IntLog(1, 9), [1, 2, 9], [0, 10, 3.0, True], id="int_log"),
        pytest.param(Choice((1, "a", [2])), [1, 1.0, "a", [2], [2.0]], [True, "b", 2], id="choice"),
    ],
)
def test_contains(values: Range, inside: list[object], outside: list[object]) -> None:
    assert [value for value in inside if not values.contains(value)] == []
    assert [value for value in outside if values.contains(value)] == []


def test_a_sampled_list_is_a_copy() -> None:
    values = Choice(([64, 64], [128]))
    values.from_unit(0).append(1)
    values.grid()[0].append(1)
    assert values.options == ([64, 64], [128])
