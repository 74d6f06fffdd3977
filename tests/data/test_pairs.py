from __future__ import annotations

from functools import partial

import numpy as np
import pytest

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = np.arange(40) % 2

HEAD = """
import numpy as np, pandas as pd
X = np.random.default_rng(0).normal(size=(40, 3))
y = np.arange(40) % 2
def frame(words="uv"):
    return pd.DataFrame({"a": X[:, 0], "c": list(words) * (40 // len(words))})
"""


def npz(**arrays):
    return partial(np.savez, **arrays)


def python(body):
    return HEAD + body


@pytest.mark.parametrize("names", [("X", "y"), ("features", "targets"), ("data", "target")])
def test_names_of_the_arrays(load, names):
    dataset = load(npz(**dict(zip(names, (X, Y), strict=True))), name="a.npz", normalize="none")
    assert dataset.input_shape == (3,)
    assert dataset.feature_names == ("x0", "x1", "x2")
    rows = {row.tobytes() for row in X.astype(np.float32)}
    assert {row.tobytes() for row in dataset.train.features} <= rows


def test_npz_and_python_give_the_same(load):
    archive = load(npz(X=X, y=Y), name="a.npz")
    function = load(python("def load(): return X, y"), name="a.py", source="a.py:load")
    np.testing.assert_array_equal(archive.train.features, function.train.features)
    np.testing.assert_array_equal(archive.dev.targets, function.dev.targets)


def test_given_splits_are_kept_and_missing_ones_cut_from_train(load):
    archive = npz(X_train=X, y_train=Y, X_val=X[:10] + 1, y_val=Y[:10])
    dataset = load(archive, name="a.npz", normalize="none")
    np.testing.assert_array_equal(dataset.dev.features, (X[:10] + 1).astype(np.float32))
    assert [len(dataset.train), len(dataset.test)] == [32, 8]
    assert dataset.notes[1:] == (
        "a: 50 examples; train 32, dev 10, test 8 (train and dev as given; test cut from train, "
        "stratified, seed 0)",
        "a.npz: 'X_val' is taken as the dev set",
    )


def test_all_splits_given(load):
    body = "def load(): return {s: (X, y) for s in ('train-dev', 'test', 'validation', 'train')}"
    dataset = load(python(body), name="d.py", source="d.py:load")
    assert [len(s) for s in (dataset.train, dataset.dev, dataset.test, dataset.train_dev)] == [
        40
    ] * 4
    assert dataset.notes[1:] == (
        "d: 160 examples; train 40, dev 40, test 40, train-dev 40 (as given)",
        "d.py:load: 'validation' is taken as the dev set",
    )


def test_a_share_of_0_cuts_no_split(load):
    dataset = load(npz(X_train=X, y_train=Y, X_dev=X, y_dev=Y), name="a.npz", split={"test": 0.0})
    assert dataset.test is None
    assert len(dataset.train) == 40


def test_frames_have_categories(load):
    body = "def load(): return {'train': (frame('uv'), y), 'dev': (frame('uw'), y)}"
    dataset = load(python(body), name="d.py", source="d.py:load", split={"test": 0.0})
    assert dataset.feature_names == ("a", "c=u", "c=v", "c=(other)")
    assert dataset.dev.features[:2, 1:].tolist() == [[1, 0, 0], [0, 0, 1]]
    assert (
        "column 'c': 1 of its categories are not in train and share the slot c=(other)"
        in dataset.notes
    )


def test_tensors_are_read(load):
    body = "import torch\ndef load(): return torch.tensor(X), torch.tensor(y)"
    dataset = load(python(body), name="d.py", source="d.py:load")
    assert dataset.outputs == 2


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        pytest.param(Y == 1, ("False", "True"), id="booleans"),
        pytest.param(np.array(["red", "blue"])[Y], ("blue", "red"), id="texts"),
        pytest.param(Y[:, None] + 3, ("3", "4"), id="a column of numbers"),
    ],
)
def test_kinds_of_labels(load, targets, names):
    dataset = load(npz(X=X, y=targets), name="a.npz")
    assert dataset.class_names == names
    assert dataset.train.targets.dtype == np.int64


def test_labels_that_are_objects_of_numpy(load):
    body = "def load(): return X, np.array([np.int64(v) for v in y], dtype=object)"
    dataset = load(python(body), name="d.py", source="d.py:load")
    assert dataset.class_names == ("0", "1")


def test_shapes_that_are_no_images_are_said(load):
    square = load(npz(X=RNG.normal(size=(40, 5, 4)), y=Y), name="a.npz")
    assert "features of shape (5, 4): the first axis is taken as 5 channels" in square.notes
    last = load(npz(X=RNG.normal(size=(40, 8, 8, 3)), y=Y), name="a.npz")
    assert (
        "features of shape (8, 8, 3) look like images with their channels last; channels are "
        "expected first: numpy.moveaxis(X, -1, 1)" in last.notes
    )


SAVE = "Save it with numpy.savez(path, X=X, y=y)."
SAME_SHAPE = "Give all splits the same shape beside the number of examples."


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        pytest.param(
            {"A": X},
            f"a.npz: needs arrays X and y, or X_train and y_train; it has A\n{SAVE}",
            id="other names",
        ),
        pytest.param(
            {"X_train": X},
            "a.npz: has X_train but no y_train; it has X_train\n"
            "Save both: numpy.savez(path, X_train=X_train, y_train=y_train).",
            id="no partner",
        ),
        pytest.param(
            {"X_dev": X, "y_dev": Y},
            "a.npz: gives the splits dev but no train\n"
            "Add a set of that name; splits that are missing are cut from it.",
            id="no train",
        ),
        pytest.param(
            {"X_trane": X, "y_trane": Y},
            "a.npz: unknown split 'trane'; did you mean 'train'?\n"
            "Name the splits train, dev, test, train-dev; only train must be there.",
            id="misspelt split",
        ),
        pytest.param(
            {"X_dev": X, "y_dev": Y, "X_val": X, "y_val": Y},
            "a.npz: X_dev and X_val both name the dev set\nSave one of them only.",
            id="dev twice",
        ),
        pytest.param(
            {"X": X[:, 0], "y": Y},
            "a.npz, X: has shape (40,); it must be (examples, columns) or (examples, channels, "
            "height, width)\nFor a single column: X.reshape(-1, 1).",
            id="X without columns",
        ),
        pytest.param(
            {"X": X[:5], "y": Y},
            "a.npz: X has 5 examples, but y has 40\nGive one target an example.",
            id="lengths differ",
        ),
        pytest.param(
            {"X": X[:0], "y": Y[:0]},
            "a.npz: has no examples\nCheck where its rows were lost.",
            id="no examples",
        ),
        pytest.param(
            {"X": X[:, :0], "y": Y},
            "a.npz, X: has shape (40, 0): its examples hold no numbers\nGive at least one column.",
            id="no columns",
        ),
        pytest.param(
            {"X": X.astype("U4"), "y": Y},
            "a.npz, X: holds values of type <U4, not numbers\n"
            "Give numbers, or a pandas frame, whose text columns become categories.",
            id="texts",
        ),
        pytest.param(
            {"X": X, "y": np.array([{}] * 40)},
            "a.npz: y holds Python objects, which are not read from files (they may run code)\n"
            "Save it as numbers or texts: y = y.astype(str).",
            id="objects",
        ),
        pytest.param(
            {"X": X, "y": np.eye(2)[Y]},
            "a.npz, y: has shape (40, 2) with a single 1 in every row, as one-hot labels have; "
            "classes must be one number or name an example\n"
            "Give y.argmax(axis=1), or --set data.task=regression if these are targets.",
            id="one-hot",
        ),
        pytest.param(
            {"X": X, "y": np.zeros((40, 2, 2))},
            "a.npz, y: has shape (40, 2, 2) and type float64; it must be (examples,), or "
            "(examples, outputs) with numbers\nGive one label or one row of numbers an example.",
            id="y with too many axes",
        ),
        pytest.param(
            {"X": X, "y": Y.astype("M8[D]")},
            "a.npz, y: holds values of type datetime64[D]; targets are numbers, booleans or "
            "texts\nConvert it in the function or before saving it.",
            id="dates",
        ),
        pytest.param(
            {"X_train": X, "y_train": Y, "X_dev": X[:, :2], "y_dev": Y},
            "a.npz: X of dev has examples of shape (2,), but X of train of shape (3,)\n"
            + SAME_SHAPE,
            id="X differs in the splits",
        ),
        pytest.param(
            {"X_train": X, "y_train": Y, "X_dev": X, "y_dev": X},
            f"a.npz, y: has shapes (40,), (40, 3) in the splits\n{SAME_SHAPE}",
            id="y differs in the splits",
        ),
    ],
)
def test_archives_that_cannot_be_used(refuse, arrays, text):
    assert refuse(npz(**arrays), name="a.npz") == text


def test_files_that_are_no_archive(refuse, table, tmp_path):
    assert refuse(table(), name="a.npz") == f"a.npz: is no NPZ archive\n{SAVE}"

    def write_array(path):
        with path.open("wb") as file:
            np.save(file, X)

    assert refuse(write_array, name="a.npz") == f"a.npz: is no NPZ archive\n{SAVE}"


def test_names_of_columns_where_there_are_none(refuse):
    assert refuse(npz(X=X, y=Y), name="a.npz", drop=["a"]) == (
        "a.npz: X is an array without column names, so data.drop and data.categorical have "
        "nothing to name\nTake these keys out of the recipe, or give X as a pandas frame."
    )


PAIR = 'Return (X, y), or {"train": (X, y), "dev": (X, y)}.'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(
            "def load(): return X, y, y",
            f"returned 3 values where (X, y) must stand\n{PAIR}",
            id="three values",
        ),
        pytest.param(
            "def load(): pass",
            f"returned a value of type NoneType where (X, y) must stand\n{PAIR}",
            id="nothing",
        ),
        pytest.param(
            "def load(): return {'train': X}",
            f"under 'train' returned a value of type ndarray where (X, y) must stand\n{PAIR}",
            id="a split that is no pair",
        ),
        pytest.param(
            "def load(): return {'train': (X, y), 'deev': (X, y)}",
            "unknown split 'deev'; did you mean 'dev'?\n"
            "Name the splits train, dev, test, train-dev; only train must be there.",
            id="misspelt split",
        ),
        pytest.param(
            "def load(): return {'train': (X, y), 'val': (X, y), 'dev': (X, y)}",
            "returned the dev set twice, once as 'dev'\nReturn every split once.",
            id="dev twice",
        ),
        pytest.param(
            "def load(): return {'train': (X, y), 'dev': (X, y[:3])}",
            "dev: X has 40 examples, but y has 3\nGive one target an example.",
            id="lengths differ",
        ),
        pytest.param(
            "def load(): raise KeyError('z')",
            "raised KeyError: 'z' (FOLDER/d.py, line 7)\n"
            "Call the function in Python to see where; dltune calls it without arguments.",
            id="raises",
        ),
        pytest.param(
            "load = 3",
            "is of type int, not a function\nName a function that returns (X, y).",
            id="no function",
        ),
        pytest.param(
            "def load(): return 3, 4",
            "X: is of type int; it must be an array or a frame\n"
            "Give X as a NumPy array with one row an example.",
            id="numbers",
        ),
        pytest.param(
            "def load(): return X, np.array(['u', None] * 20, dtype=object)",
            "y[1]: is None between texts; labels must be all texts or all numbers\n"
            "Give y as an array of one type, without missing labels.",
            id="labels mixed",
        ),
        pytest.param(
            "import torch\ndef load(): return torch.tensor(X, requires_grad=True), y",
            "X: cannot be read as an array: Can't call numpy() on Tensor that requires grad. Use "
            "tensor.detach().numpy() instead.\n"
            "Give a NumPy array, such as tensor.detach().cpu().numpy().",
            id="tensor with gradient",
        ),
        pytest.param(
            "def load(): return {'train': (frame(), y), 'dev': (frame()[['a']], y)}",
            "X of dev does not have the columns of X of train\n"
            "Give all splits frames with the same columns in the same order.",
            id="columns differ",
        ),
        pytest.param(
            "def load():\n    x = frame(); x.loc[3, 'a'] = np.nan\n"
            "    return {'train': (frame(), y), 'dev': (x, y)}",
            "row 4 of dev, column 'a': no value (empty or NaN); it is the only missing value\n"
            "Fill the cell or delete its row, or leave the column out: --set 'data.drop=[\"a\"]'.",
            id="missing in dev",
        ),
        pytest.param(
            "def load(): return np.ma.masked_array(X, mask=X > X.max() - 1e-9), y",
            "X: has 1 masked values, which are missing ones\n"
            "Fill them, or leave their examples out.",
            id="masked values",
        ),
        pytest.param(
            "def load(): return frame().assign(a=X[:, 0] + 1j), y",
            "column 'a': holds values of type complex128; a column must hold numbers, booleans or "
            "texts\nMake it one of them in the function, such as X['a'].astype(str), or leave the "
            "column out: --set 'data.drop=[\"a\"]'.",
            id="complex numbers",
        ),
        pytest.param(
            "def load(): return frame().assign(a=pd.cut(X[:, 0], 3)), y",
            "column 'a': holds values of type category; a column must hold numbers, booleans or "
            "texts\nMake it one of them in the function, such as X['a'].astype(str), or leave the "
            "column out: --set 'data.drop=[\"a\"]'.",
            id="intervals",
        ),
    ],
)
def test_functions_that_cannot_be_used(refuse, body, text):
    error = refuse(python(body), name="d.py", source="d.py:load")
    assert error.removeprefix("d.py:load").lstrip(":, ") == text


def test_columns_of_mixed_types(refuse):
    body = "def load(): return frame().assign(a=pd.Series([1, 'u'] * 20, dtype=object)), y"
    error = refuse(python(body), name="d.py", source="d.py:load")
    # What stands between is pyarrow's own sentence, which differs from version to version.
    assert error.startswith("d.py:load, column 'a': mixes types: ")
    assert error.endswith(
        "\nMake it one type in the function, such as X['a'].astype(str), or leave the column out: "
        "--set 'data.drop=[\"a\"]'."
    )


def test_references_that_lead_nowhere(refuse):
    error = refuse(python("def lod(): return X, y"), name="d.py", source="d.py:load")
    assert error.startswith("d.py:load: d.py has no load; did you mean lod?")


def test_target_of_a_function(refuse):
    error = refuse(python("def load(): return X, y"), name="d.py", source="d.py:load", target="a")
    assert error == (
        "data.target = 'a': d.py:load brings its own targets, so there is no column to name\n"
        "Take data.target out of the recipe."
    )
