"""No digit of an input is lost before it is scaled or becomes a class, whatever the source."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dltune.data.dataset import Dataset
from dltune.data.load import load_data
from dltune.recipe.schema import DataConfig

SOURCES = ("csv", "parquet", "npz", "numpy", "torch", "pandas")
SHARE = 0.25
SPLIT = {"dev": SHARE, "test": SHARE, "stratify": False}

FUNCTION = """
from pathlib import Path
import numpy as np
import pandas as pd
saved = np.load(Path(__file__).with_name("saved.npz"))
X, y = saved["X"], saved["y"]
"""
RETURNED = {
    "numpy": "def load(): return X, y",
    "torch": "import torch\ndef load(): return torch.from_numpy(X), torch.from_numpy(y)",
    "pandas": "def load(): return pd.DataFrame({'a': X[:, 0], 'b': X[:, 1]}), pd.Series(y)",
}


def load_from(
    source: str, folder: Path, features: np.ndarray, targets: np.ndarray, **config: object
) -> Dataset:
    """The same two columns and targets as they come from each kind of source.

    features  (n, 2).
    """
    frame = pd.DataFrame({"a": features[:, 0], "b": features[:, 1], "y": targets})
    settings = {"split": SPLIT, **config}
    if source == "csv":
        frame.to_csv(folder / "t.csv", index=False)
    elif source == "parquet":
        frame.to_parquet(folder / "t.parquet")
    else:
        np.savez(folder / "saved.npz", X=features, y=targets)
    if source in ("csv", "parquet"):
        name, settings["target"] = f"t.{source}", "y"
    elif source == "npz":
        name = "saved.npz"
    else:
        name = f"from_{source}.py:load"
        (folder / f"from_{source}.py").write_text(FUNCTION + RETURNED[source])
    return load_data(DataConfig(source=name, **settings), folder=folder)


def order_of(folder: Path, count: int) -> np.ndarray:
    """The rows of train, dev and test in the order in which every data set of `count` has them."""
    np.savez(folder / "order.npz", X=np.arange(count)[:, None], y=np.arange(count) / 3)
    dataset = load_data(
        DataConfig(source="order.npz", normalize="none", split=SPLIT), folder=folder
    )
    assert dataset.test is not None
    parts = (dataset.train, dataset.dev, dataset.test)
    return np.concatenate([part.features[:, 0] for part in parts]).astype(int)


def in_order(dataset: Dataset, field: str) -> np.ndarray:
    assert dataset.test is not None
    return np.concatenate(
        [getattr(part, field) for part in (dataset.train, dataset.dev, dataset.test)]
    )


def standardised(exact: list[int] | np.ndarray, order: np.ndarray, unit: float = 1.0) -> np.ndarray:
    """By the statistics of train, from exact distances; in the order of the splits.

    unit  about the spread: squares of 1e-300 would vanish.
    """
    base = exact[order[0]]
    distances = np.array([float(exact[row] - base) / unit for row in order])
    train = distances[: len(order) - 2 * round(SHARE * len(order))]
    return (distances - train.mean()) / train.std()


LABELS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=5, unique=True),
    st.lists(st.integers(2**53, 2**53 + 9), min_size=2, max_size=5, unique=True),
    st.lists(st.integers(2**63, 2**64 - 1), min_size=2, max_size=5, unique=True),
    st.lists(
        st.floats(-1e300, 1e300, allow_subnormal=False).map(lambda label: label + 0.0),
        min_size=2,
        max_size=5,
        unique=True,
    ),
)


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=15, deadline=None)
@given(labels=LABELS)
def test_distinct_labels_stay_distinct(tmp_path_factory, source, labels):
    folder = tmp_path_factory.mktemp("labels")
    whole = isinstance(labels[0], int)
    kind = np.float64 if not whole else np.uint64 if max(labels) >= 2**63 else np.int64
    assume(whole or np.abs(labels).max() < 3e38)
    targets = np.array(labels * 8, dtype=kind)
    features = np.arange(2.0 * len(targets)).reshape(-1, 2) ** 2
    dataset = load_from(source, folder, features, targets, task="classification")
    assert dataset.outputs == len(labels)
    assert [(int if whole else float)(name) for name in dataset.class_names] == sorted(labels)
    expected = np.searchsorted(sorted(labels), targets[order_of(folder, len(targets))])
    np.testing.assert_array_equal(in_order(dataset, "targets"), expected)


OFFSETS = st.sampled_from(
    [0, 1_700_000_000, 10**15, 2**53, 2**60 + 1, -(2**62) - 5, 1_700_000_000 * 10**9]
)


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=15, deadline=None)
@given(
    offset=OFFSETS,
    steps=st.lists(st.integers(-50, 50), min_size=20, max_size=40, unique=True),
)
def test_whole_numbers_are_standardised_by_their_exact_distances(
    tmp_path_factory, source, offset, steps
):
    folder = tmp_path_factory.mktemp("whole")
    exact = [offset + step for step in steps]
    features = np.array([exact, np.arange(len(exact))], dtype=np.int64).T
    dataset = load_from(source, folder, features, features[:, 0], task="regression")
    expected = standardised(exact, order_of(folder, len(exact)))
    np.testing.assert_allclose(in_order(dataset, "features")[:, 0], expected, rtol=3e-7, atol=3e-7)
    np.testing.assert_allclose(in_order(dataset, "targets")[:, 0], expected, rtol=3e-7, atol=3e-7)


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=15, deadline=None)
@given(
    offset=st.sampled_from([0.0, 1.7e9, -1e12, 1e15]),
    spread=st.sampled_from([1.0, 1e3, 1e-30, 1e-200, 1e-300, 1e30]),
    seed=st.integers(0, 99),
)
def test_fractions_are_standardised_in_float64(tmp_path_factory, source, offset, spread, seed):
    assume(offset == 0 or spread >= 1)
    folder = tmp_path_factory.mktemp("fractions")
    values = offset + spread * np.random.default_rng(seed).normal(size=30)
    features = np.stack([values, np.arange(30) ** 2], axis=1)
    dataset = load_from(source, folder, features, values)
    order = order_of(folder, 30)
    expected = standardised(values, order, spread)
    np.testing.assert_allclose(in_order(dataset, "features")[:, 0], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(in_order(dataset, "targets")[:, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("source", ["csv", "parquet", "pandas"])
def test_ids_as_categories(tmp_path, source):
    ids = np.array([2**53, 2**53 + 1, 2**53 + 2, 2**53 + 3] * 10)
    features = np.stack([ids, np.arange(40)], axis=1)
    dataset = load_from(source, tmp_path, features, np.arange(40) / 3, categorical=["a"])
    assert dataset.feature_names == (*(f"a={2**53 + step}" for step in range(4)), "a=(other)", "b")
    assert dataset.train.features[:, :4].sum(axis=0).min() >= 1


def test_labels_beyond_64_bits(load, table):
    dataset = load(table(y=lambda row: 10**25 + row % 2))
    assert dataset.class_names == (f"{10**25}", f"{10**25 + 1}")
    body = f"import numpy as np\ndef load(): return np.eye(40), [{10**25}, {10**25 + 1}] * 20"
    dataset = load(body, name="d.py", source="d.py:load")
    assert dataset.class_names == (f"{10**25}", f"{10**25 + 1}")


def test_a_list_of_labels_beyond_what_float64_holds(load):
    body = "import numpy as np\ndef load(): return np.eye(40), [-1, 2**63, 2**63 + 1, 5] * 10"
    dataset = load(body, name="d.py", source="d.py:load", split={"stratify": False})
    assert dataset.class_names == ("-1", "5", f"{2**63}", f"{2**63 + 1}")


@pytest.mark.parametrize("labels", [(Decimal("0.1"), Decimal("0.2")), (True, False)], ids=str)
def test_objects_of_python_as_labels(load, labels):
    body = (
        "import numpy as np\nfrom decimal import Decimal\n"
        f"y = np.array({list(labels)!r} * 20, dtype=object)\ndef load(): return np.eye(40), y"
    )
    dataset = load(body, name="d.py", source="d.py:load", task="classification")
    assert dataset.class_names == tuple(sorted(str(label) for label in labels))


def test_labels_that_begin_with_a_zero_are_texts(load, table):
    dataset = load(table(60, y=lambda row: ["01", "1", "10"][row % 3]))
    assert dataset.class_names == ("01", "1", "10")
    assert (
        "column 'y': '01' begins with a zero, as codes do, so its cells are taken as labels; "
        "for quantities: --set data.task=regression" in dataset.notes
    )
    numbers = load(table(60, y=lambda row: f"{row % 30:02}"), task="regression")
    assert numbers.task == "regression"


def test_integers_of_two_types_in_the_splits(load):
    small, large = np.array([0, -1] * 20), np.array([2**63, 2**63 + 1] * 20, dtype=np.uint64)

    def write(path):
        np.savez(path, X_train=np.eye(40), y_train=abs(small), X_dev=np.eye(40), y_dev=large)

    dataset = load(write, name="a.npz", split={"test": 0.0}, task="classification")
    assert dataset.class_names == ("0", "1", f"{2**63}", f"{2**63 + 1}")


def test_types_in_the_splits_that_no_type_holds(refuse):
    def write(path):
        np.savez(
            path,
            X_train=np.eye(40),
            y_train=np.arange(40) / 3,
            X_dev=np.eye(40),
            y_dev=2**53 + np.arange(40),
        )

    assert refuse(write, name="a.npz") == (
        "a.npz, y: has types float64, int64 in the splits, and no type of 64 bits keeps the digits "
        "of both\nGive all splits the same type."
    )


FRAMES = """
import numpy as np, pandas as pd
def frame(values): return pd.DataFrame({"a": values}), np.arange(40) % 2
"""


def test_columns_of_frames_of_two_types_in_the_splits(load, refuse):
    large, fractions = f"[{2**53} + i for i in range(40)]", "[i / 2 for i in range(40)]"
    body = f"{FRAMES}def load(): return {{'train': frame({large}), 'dev': frame(DEV)}}"
    settings = {"name": "d.py", "source": "d.py:load", "split": {"test": 0.0}}
    unsigned = load(body.replace("DEV", f"pd.Series({large}, dtype='uint64') + 1"), **settings)
    step = 1 / np.std(np.arange(40))
    distances = unsigned.dev.features[:, 0] - unsigned.train.features[:, 0]
    np.testing.assert_allclose(distances, step, rtol=1e-5)
    assert refuse(body.replace("DEV", fractions), **settings) == (
        "d.py:load, X, 'a': has types int64, float64 in the splits, and no type of 64 bits keeps "
        "the digits of both\nGive all splits the same type."
    )


def test_a_column_of_a_frame_beyond_64_bits(refuse):
    body = f"{FRAMES}def load(): return frame(pd.Series([2**70] * 40, dtype=object))"
    assert refuse(body, name="d.py", source="d.py:load") == (
        "d.py:load, column 'a': holds whole numbers of more than 64 bits\n"
        "Make it texts in the function, such as X['a'].astype(str)."
    )


def test_decimals(load, refuse):
    def write(digits):
        start = Decimal("1" + "0" * digits + ".01")
        frame = pd.DataFrame(
            {
                "a": [start + Decimal(row % 7) / 100 for row in range(40)],
                "y": [row / 3 for row in range(40)],
            }
        )
        return frame.to_parquet

    dataset = load(write(12), name="t.parquet")
    assert len(np.unique(dataset.train.features)) == 7
    assert refuse(write(16), name="t.parquet") == (
        "t.parquet, column 'a': holds decimal numbers (decimal128(19, 2)) that differ in digits "
        "which 64 bits do not hold\n"
        "Give columns to learn from, or subtract a constant in the file."
    )
    whole = pd.DataFrame({"a": range(40), "y": [Decimal(2**53 + row % 3) for row in range(40)]})
    dataset = load(whole.to_parquet, name="t.parquet")
    assert dataset.class_names == tuple(str(2**53 + step) for step in range(3))


def test_numbers_that_float32_does_not_tell_apart_are_said(load):
    def write(path):
        np.savez(path, X=1e15 + np.arange(80.0).reshape(40, 2), y=1e15 + np.arange(40) / 8)

    notes = load(write, name="a.npz", normalize="none", normalize_target="none").notes
    assert (
        "float32 keeps few of the digits that tell values apart in: x0, x1; to scale them first: "
        "--set data.normalize=zscore" in notes
    )
    assert (
        "target y: float32 keeps few of the digits that tell its values apart; to scale it "
        "first: --set data.normalize_target=zscore" in notes
    )
    assert not any("float32" in note for note in load(write, name="a.npz").notes)


def test_values_that_overflow_when_scaled_are_refused(refuse):
    x = np.array([[1e-300], [2e-300]] * 20)

    def write(path):
        y = np.arange(40) % 2
        np.savez(path, X_train=x, y_train=y, X_dev=np.where(x > 1e-300, 1.0, x), y_dev=y)

    assert refuse(write, name="a.npz", split={"test": 0.0}) == (
        "a.npz, row 2 of dev, x0: so far from the values in train that float32 cannot hold it as "
        "scaled by them; there are 20 such values\n"
        "Mend these cells, or try --set data.normalize=none."
    )
