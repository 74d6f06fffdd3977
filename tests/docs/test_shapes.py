"""The comparison itself: it forgives measured numbers and nothing else."""

from __future__ import annotations

import pytest

from tests.docs.shapes import differs, shape

TABLE = """\
runs/digits: 20 trials
2 done of 20  best dev error 0.0334 (trial 1)  48.6 trials/min  3 s, 22 s left
             dev   train
#  trial   error   error  activation      lr
1      8  0.0223  0.0083  relu        1.7e-3
2      3  0.0251  0.0046  tanh          0.01

best: trial 8, epoch 10 of 10, 0.1 s, 26,122 parameters
dev error by epoch  █▃▃▃▂▂▂▁▁▁  0.2173 → 0.0223
next: dltune diagnose runs/digits  (bias or variance, and what to change)
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("0.0223  0.0083  relu", "0.0225  0.1003  tanh", id="another ranking"),
        pytest.param("2      3  0.0251  0.0046  tanh          0.01\n", "", id="fewer rows"),
        pytest.param("0.1 s", "1 min 3 s", id="another time"),
        pytest.param("48.6 trials/min", "50 trials/min", id="progress"),
        pytest.param("█▃▃▃▂▂▂▁▁▁  0.2173", "█▃ ▁  1e-3", id="another curve"),
        pytest.param("10 of 10, 0.1 s, ", "10 of 10,\n0.1 s, ", id="another line break"),
    ],
)
def test_numbers_may_differ(old: str, new: str) -> None:
    assert old in TABLE
    assert differs(TABLE, TABLE.replace(old, new)) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("activation", "function", id="header"),
        pytest.param("#  trial   error   error  ", "#  trial   error  ", id="a column less"),
        pytest.param("what to change", "how", id="wording"),
        pytest.param("runs/digits: 20 trials\n", "", id="a line less"),
        pytest.param("next:", "done\nnext:", id="a line more"),
        pytest.param("dltune diagnose", "dltune report", id="next command"),
        pytest.param(" → ", " to ", id="arrow"),
    ],
)
def test_words_may_not(old: str, new: str) -> None:
    assert old in TABLE
    assert differs(TABLE, TABLE.replace(old, new, 1)) != ""
    assert differs(TABLE.replace(old, new, 1), TABLE) != ""


def test_lines_left_out_of_a_transcript() -> None:
    shown = "runs/digits: 20 trials\n...\nbest: trial 8, epoch 10 of 10, 0.1 s, 26,122 parameters\n"
    assert differs(shown + "...\n", TABLE) == ""
    assert "printed" in differs(shown, TABLE)  # nothing says that the end is left out
    assert "printed" in differs("...\n" + shown.replace("parameters", "weights") + "...\n", TABLE)


def test_a_command_that_prints_nothing_any_more_differs() -> None:
    assert differs("", "") == ""
    assert "shown: nothing" in differs("", "hello")
    assert "printed" in differs("hello", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12 % of 1,079, -0.6 to 1e-07, nan", "# of #, # to #, #"),
        ("  bias  12.0  [11.4, 12.7]  yes", "bias # [#, #] ?"),
        ("  bias  12.0  [11.4, 12.7]  unclear", "bias # [#, #] ?"),
        ("hidden 64,64 and BIAS001, mlp2", "hidden # and BIAS001, mlp2"),
        ("3.0┤      ··│", "<plot>"),
        ("    1e-7   1e-6   1e-5", "#"),
        ("took 2 h 5 min, 3 min 4 s, 5 s", "took # s, # s, # s"),
    ],
)
def test_shapes(text: str, expected: str) -> None:
    assert shape(text) == [expected]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("10 of 10, 0.1 s, ", "10 of 10,\n1 min 3 s, ", id="another time"),
        pytest.param("48.6 trials/min", "50 trials/min", id="progress"),
        pytest.param("  10      0.4  ", "   10      12.7  ", id="a cell of seconds"),
    ],
)
def test_where_numbers_count_times_do_not(old: str, new: str) -> None:
    assert old in TIMED
    assert differs(TIMED, TIMED.replace(old, new), numbers=True) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("0.0223  0.0083", "0.0225  0.0083", id="error in a table"),
        pytest.param("1.7e-3", "1.8e-3", id="value in a table"),
        pytest.param("0.2173 →", "0.2174 →", id="number in a line"),
        pytest.param("26,122", "26,123", id="count"),
        pytest.param("█▃▃▃", "█▃▃▂", id="sparkline"),
        pytest.param("best: trial 8", "best: trial 3", id="another trial"),
    ],
)
def test_where_numbers_count_another_one_is_found(old: str, new: str) -> None:
    assert old in TIMED
    assert differs(TIMED, TIMED.replace(old, new, 1), numbers=True) != ""
    assert differs("...\n" + TIMED, TIMED, numbers=True) == ""


TIMED = TABLE.replace(
    """\
             dev   train
#  trial   error   error  activation      lr
1      8  0.0223  0.0083  relu        1.7e-3
2      3  0.0251  0.0046  tanh          0.01
""",
    """\
             dev   train   best
#  trial   error   error  epoch  seconds  activation      lr
1      8  0.0223  0.0083     10      0.4  relu        1.7e-3
2      3  0.0251  0.0046      7      0.3  tanh          0.01
""",
)
