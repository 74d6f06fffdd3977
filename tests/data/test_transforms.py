from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from dltune.data.raw import NumericColumn, text_column
from dltune.data.scaling import fit_scaling
from dltune.data.transforms import encode_features

SCALERS = {"zscore": StandardScaler, "minmax": MinMaxScaler}
FLOATS = st.floats(-1e6, 1e6, width=32)
TABLES = hnp.arrays(np.float32, st.tuples(st.integers(4, 60), st.integers(1, 5)), elements=FLOATS)


def halves(rows: int) -> dict[str, np.ndarray]:
    """Every other row to train, the others to dev."""
    return {"train": np.arange(0, rows, 2), "dev": np.arange(1, rows, 2)}


def columns_of(table: np.ndarray) -> tuple[NumericColumn, ...]:
    return tuple(NumericColumn(name=f"x{i}", values=table[:, i]) for i in range(table.shape[1]))


@pytest.mark.parametrize("kind", ["zscore", "minmax"])
@pytest.mark.parametrize("as_columns", [True, False], ids=["columns", "array"])
@settings(max_examples=50, deadline=None)
@given(table=TABLES)
def test_the_same_as_scikit_learn_fitted_on_train(kind, as_columns, table):
    splits = halves(len(table))
    encoded = encode_features(columns_of(table) if as_columns else table, splits, kind)
    exact = table.astype(np.float64)
    scaler = SCALERS[kind]().fit(exact[splits["train"]])
    # scikit-learn takes spreads at the level of rounding, and below 10 eps, for none.
    spread = np.ptp(exact[splits["train"]], axis=0)
    clear = (spread == 0) | (spread > np.maximum(1e-6 * np.abs(exact).max(axis=0), 1e-14))
    for split, rows in splits.items():
        expected = scaler.transform(exact[rows])[:, clear]
        np.testing.assert_allclose(
            encoded.features[split][:, clear], expected, rtol=1e-5, atol=1e-5
        )
        assert encoded.features[split].dtype == np.float32


def test_closed_form():
    column = NumericColumn(name="a", values=np.array([2.0, 4.0, 6.0, 10.0]))
    splits = {"train": np.array([0, 1, 2]), "dev": np.array([3])}
    deviation = np.sqrt(8 / 3)  # of 2, 4, 6 around 4
    zscore = encode_features((column,), splits, "zscore").features
    np.testing.assert_allclose(zscore["train"][:, 0], np.array([-2, 0, 2]) / deviation, rtol=1e-6)
    np.testing.assert_allclose(zscore["dev"], [[6 / deviation]], rtol=1e-6)
    minmax = encode_features((column,), splits, "minmax").features
    assert minmax["train"][:, 0].tolist() == [0.0, 0.5, 1.0]
    assert minmax["dev"].tolist() == [[2.0]]
    assert encode_features((column,), splits, "none").features["dev"].tolist() == [[10.0]]


@pytest.mark.parametrize("kind", ["zscore", "minmax"])
def test_what_is_not_in_train_does_not_count(kind):
    table = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    wild = table.copy()
    splits = halves(20)
    wild[splits["dev"]] = 1e6
    one, other = (encode_features(columns_of(t), splits, kind) for t in (table, wild))
    np.testing.assert_array_equal(one.features["train"], other.features["train"])


@pytest.mark.parametrize("kind", ["zscore", "minmax"])
def test_images_are_scaled_by_channel(kind):
    rng = np.random.default_rng(0)
    images = rng.normal(loc=[[[[5.0]], [[-3.0]]]], scale=[[[[2.0]], [[9.0]]]], size=(30, 2, 4, 5))
    splits = halves(30)
    encoded = encode_features(images.astype(np.float32), splits, kind)
    pixels = np.moveaxis(images[splits["train"]], 1, -1).reshape(-1, 2)
    scaler = SCALERS[kind]().fit(pixels)
    expected = scaler.transform(np.moveaxis(images[splits["dev"]], 1, -1).reshape(-1, 2))
    expected = np.moveaxis(expected.reshape(15, 4, 5, 2), -1, 1)
    np.testing.assert_allclose(encoded.features["dev"], expected, rtol=1e-4, atol=1e-5)
    assert encoded.names == ()


def test_statistics_do_not_depend_on_the_blocks():
    table = np.random.default_rng(0).normal(1e4, 1.0, size=(1000, 3))
    whole = fit_scaling([table], "zscore")
    pieces = fit_scaling([table[:7], table[7:500], table[500:]], "zscore")
    np.testing.assert_allclose(whole.offset, pieces.offset, rtol=1e-12)
    np.testing.assert_allclose(whole.scale, pieces.scale, rtol=1e-9)


@pytest.mark.parametrize("kind", ["zscore", "minmax", "none"])
def test_columns_that_are_constant_in_train(kind):
    # 0.1 is no binary fraction: its mean over 10 rows is not exactly itself.
    values = np.full(20, 0.1, dtype=np.float32)
    values[1] = 2.1
    encoded = encode_features((NumericColumn(name="a", values=values),), halves(20), kind)
    offset = 0.0 if kind == "none" else 0.1
    np.testing.assert_allclose(encoded.features["train"][:, 0], 0.1 - offset, atol=1e-7)
    np.testing.assert_allclose(encoded.features["dev"][0, 0], 2.1 - offset, rtol=1e-6)
    assert encoded.notes == ("constant in train: a",)


def test_one_hot_with_a_slot_for_the_unknown():
    column = text_column("color", np.array([0, 1, 0, 2]), ["red", "blue", "green"])
    splits = {"train": np.array([0, 1, 2]), "dev": np.array([3, 0])}
    encoded = encode_features((column,), splits, "zscore")
    assert encoded.names == ("color=blue", "color=red", "color=(other)")
    assert encoded.features["train"].tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert encoded.features["dev"].tolist() == [[0, 0, 1], [0, 1, 0]]
    assert encoded.notes == (
        "categorical: color (2 categories)",
        "column 'color': 1 of its categories are not in train and share the slot color=(other)",
    )


@settings(max_examples=50, deadline=None)
@given(words=st.lists(st.sampled_from("abcdef"), min_size=4, max_size=60))
def test_one_hot_is_scikit_learns_and_a_slot(words):
    texts = sorted(set(words))
    column = text_column("w", np.array([texts.index(word) for word in words]), texts)
    splits = halves(len(words))
    encoded = encode_features((column,), splits, "none").features
    cells = np.array(words)[:, None]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    encoder.fit(cells[splits["train"]])
    for split, rows in splits.items():
        known = encoder.transform(cells[rows])
        np.testing.assert_array_equal(encoded[split][:, :-1], known)
        np.testing.assert_array_equal(encoded[split][:, -1], 1 - known.sum(axis=1))


def test_kinds_of_columns_keep_their_order(load, table):
    dataset = load("b,a,y\n" + table(b=lambda row: "uv"[row % 2]).partition("\n")[2])
    assert dataset.feature_names == ("b", "a=u", "a=v", "a=(other)")


def test_notes_on_columns(load, table):
    counting = load(table(a=lambda row: row + 1)).notes
    assert "column 'a' only counts the rows; leave it out: --set 'data.drop=[\"a\"]'" in counting
    stamps = load(table(a=lambda row: 1_700_000_000 + 500 * (row % 7)), normalize="none").notes
    assert (
        "float32 keeps few of the digits that tell values apart in: a; to scale them first: "
        "--set data.normalize=zscore" in stamps
    )
    garages = load(table(b=lambda row: ["NA", "none", "brick"][row % 3])).notes
    assert "column 'b': 'NA' is taken as a category, not as missing" in garages
    assert "column 'b': 'none' is taken as a category, not as missing" in garages


def test_a_range_far_below_what_float32_holds_is_scaled() -> None:
    train = np.array([[0.0], [1e-300], [2e-300], [1e-300]])
    scaling = fit_scaling([train], "minmax")
    assert (scaling.center.tolist(), scaling.scale.tolist()) == ([0.0], [2e-300])
    zscore = fit_scaling([train], "zscore")
    np.testing.assert_allclose(zscore.scale, [np.sqrt(0.5) * 1e-300], rtol=1e-12)


def test_fractions_that_differ_by_a_rounding_are_constant() -> None:
    sums = np.array([[0.1 + 0.2], [0.3]])
    assert sums[0] != sums[1]
    assert fit_scaling([sums], "zscore").constant.tolist() == [True]
    ids = np.array([[2**62], [2**62 + 1]])
    assert fit_scaling([ids], "zscore").constant.tolist() == [False]
