from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets

from dltune.data.load import load_data
from dltune.recipe.schema import DataConfig

BUNDLED = "Bundled are breast_cancer, diabetes, digits, iris, linnerud, wine"
FORMATS = "CSV (.csv, .tsv, .txt), Parquet (.parquet, .pq) and NumPy (.npz)"
OWN_FUNCTION = 'Convert it, or write a Python function and --set data.source="my_data.py:load".'
FROM_RECIPE = "Give the path from the folder of the recipe, or an absolute path."


@pytest.mark.parametrize(
    ("source", "text"),
    [
        pytest.param(
            "hosing.csv",
            "no such file; did you mean 'housing.csv'?\nTry --set data.source=housing.csv.",
            id="misspelt",
        ),
        pytest.param("q.csv", f"no such file in 'FOLDER'\n{FROM_RECIPE}", id="nothing like it"),
        pytest.param(
            "q/h.csv",
            f"no such file; there is no folder 'FOLDER/q'\n{FROM_RECIPE}",
            id="no folder",
        ),
        pytest.param(
            ".", f"is a folder; a file is needed\nName a file in it: {FORMATS}.", id="folder"
        ),
        pytest.param(
            "housing.foo",
            f"a file ending in '.foo' is not read; {FORMATS} are\n{OWN_FUNCTION}",
            id="unknown ending",
        ),
        pytest.param(
            "housing.xlsx",
            f"a file ending in '.xlsx' is not read; {FORMATS} are\n"
            "Convert it: pandas.read_excel(path).to_csv('data.csv', index=False).",
            id="excel",
        ),
        pytest.param(
            "housing.gz",
            f"a file ending in '.gz' is not read; {FORMATS} are\n"
            "Convert it: gunzip housing.gz, in the shell.",
            id="gzip",
        ),
        pytest.param(
            "housing",
            f"a file without an ending is not read; {FORMATS} are\n{OWN_FUNCTION}",
            id="no ending",
        ),
        pytest.param(
            "my_data.py",
            "names a Python file without a function\nTry --set data.source=my_data.py:load.",
            id="python without a function",
        ),
        pytest.param(
            "sklern:digits",
            "no such source; did you mean 'sklearn:digits'?\nTry --set data.source=sklearn:digits.",
            id="prefix misspelt",
        ),
        pytest.param(
            "sklearn:digit",
            "scikit-learn bundles no such set; did you mean 'sklearn:digits'? "
            f"{BUNDLED}\nTry --set data.source=sklearn:digits.",
            id="set misspelt",
        ),
        pytest.param(
            "sklearn:zzz",
            f"scikit-learn bundles no such set. {BUNDLED}\nTry --set data.source=sklearn:digits.",
            id="no such set",
        ),
        pytest.param(
            "sklearn:california_house",
            "scikit-learn downloads california_housing, and dltune downloads nothing. "
            f"{BUNDLED}\nFetch it yourself: write a file my_data.py with def load(): return "
            "sklearn.datasets.fetch_california_housing(return_X_y=True), and "
            "--set data.source=my_data.py:load.",
            id="a set to download",
        ),
    ],
)
def test_sources_that_are_not_there(refuse, table, tmp_path, source, text):
    for name in ("housing.csv", "housing.foo", "housing.xlsx", "housing.gz", "housing"):
        (tmp_path / name).write_text(table())
    assert refuse(source=source) == f"data.source = '{source}': {text}"


@pytest.mark.parametrize("name", ["breast_cancer", "iris", "wine"])
def test_bundled_classifications(load, name):
    dataset = load(source=f"sklearn:{name}", normalize="none")
    bunch = getattr(sklearn.datasets, f"load_{name}")()
    assert dataset.task == "classification"
    assert dataset.class_names == tuple(bunch.target_names)
    assert dataset.feature_names == tuple(bunch.feature_names)
    known = {
        (*row.astype(np.float32), label)
        for row, label in zip(bunch.data, bunch.target, strict=True)
    }
    for split in (dataset.train, dataset.dev, dataset.test):
        assert {
            (*row, label) for row, label in zip(split.features, split.targets, strict=True)
        } <= known
    sizes = [len(split) for split in (dataset.train, dataset.dev, dataset.test)]
    assert sum(sizes) == len(bunch.target)


def test_digits_are_images(load):
    dataset = load(source="sklearn:digits", normalize="none")
    assert dataset.input_shape == (1, 8, 8)
    assert dataset.class_names == tuple("0123456789")
    assert dataset.feature_names == ()
    images = {image.astype(np.float32).tobytes() for image in sklearn.datasets.load_digits().images}
    assert {image.tobytes() for image in dataset.dev.features} <= images


def test_digits_are_the_same_where_their_file_is_not_found(load, monkeypatch):
    from_file = load(source="sklearn:digits")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    loaded = load(source="sklearn:digits")
    np.testing.assert_array_equal(loaded.train.features, from_file.train.features)
    np.testing.assert_array_equal(loaded.train.targets, from_file.train.targets)
    assert loaded.train.features.dtype == from_file.train.features.dtype


def test_digits_and_a_split_need_none_of_the_large_libraries():
    program = (
        "import sys\nfrom pathlib import Path\nfrom dltune.data.load import load_data\n"
        "from dltune.recipe.schema import DataConfig\n"
        "load_data(DataConfig(source='sklearn:digits'), folder=Path())\n"
        "large = ('torch', 'sklearn', 'scipy', 'pandas', 'pyarrow')\n"
        "print([name for name in large if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("name", "outputs"), [("diabetes", 1), ("linnerud", 3)])
def test_bundled_regressions(load, name, outputs):
    dataset = load(source=f"sklearn:{name}", normalize_target="none")
    assert dataset.task == "regression"
    assert dataset.outputs == outputs
    assert dataset.train.targets.shape[1:] == (outputs,)
    bunch = getattr(sklearn.datasets, f"load_{name}")()
    rows = [split.targets for split in (dataset.train, dataset.dev, dataset.test)]
    together = np.sort(np.concatenate(rows), axis=0)
    np.testing.assert_allclose(together, np.sort(bunch.target.reshape(-1, outputs), axis=0))


def test_digits_may_be_a_regression(load):
    dataset = load(source="sklearn:digits", task="regression", normalize_target="none")
    assert set(np.unique(dataset.train.targets)) == set(range(10))


def test_columns_of_a_bundled_set_may_be_dropped_or_categorical(load):
    dataset = load(source="sklearn:diabetes", drop=["age"], categorical=["sex"])
    assert "age" not in dataset.feature_names
    assert sum(name.startswith("sex=") for name in dataset.feature_names) == 3


def test_settings_that_a_bundled_set_has_no_use_for(refuse):
    assert refuse(source="sklearn:wine", target="price") == (
        "data.target = 'price': sklearn:wine brings its own targets, so there is no column to "
        "name\nTake data.target out of the recipe."
    )
    assert refuse(source="sklearn:digits", drop=["a"]) == (
        "sklearn:digits: holds images, which have no columns for data.drop or data.categorical\n"
        "Take these keys out of the recipe."
    )


def frame(**columns):
    return pd.DataFrame({"a": np.arange(40) ** 2, "y": np.arange(40) * 1.5, **columns})


def test_parquet_and_csv_give_the_same(load):
    columns = {
        "word": ["u", "v", "w", "v"] * 10,
        "kind": pd.Categorical(["k", "l"] * 20),
        "small": np.arange(40, dtype=np.uint8),
        "half": np.arange(40, dtype=np.float32) / 64,  # the same number as text
    }
    table = frame(**columns)
    parquet = load(table.to_parquet, name="t.parquet")
    text = load(table.to_csv(index=False))
    assert parquet.feature_names == text.feature_names
    np.testing.assert_allclose(parquet.train.features, text.train.features, rtol=1e-6)
    np.testing.assert_array_equal(parquet.dev.targets, text.dev.targets)


def test_booleans_are_categories(load):
    dataset = load(frame(new=[True, False] * 20).to_parquet, name="t.parquet")
    assert dataset.feature_names == ("a", "new=false", "new=true", "new=(other)")


LEAVE_B = "Leave it out: --set 'data.drop=[\"b\"]', or turn it into numbers in the file."
KINDS = "a column must hold numbers, booleans or texts"
FILL_B = "Fill the cell or delete its row, or leave the column out: --set 'data.drop=[\"b\"]'."
ONE_MISSING = "no value (empty or NaN); it is the only missing value"


@pytest.mark.parametrize(
    ("column", "text"),
    [
        pytest.param(
            pd.date_range("2020", periods=40).as_unit("us"),
            f"t.parquet, column 'b': holds dates or times (timestamp[us]); {KINDS}\n{LEAVE_B}",
            id="dates",
        ),
        pytest.param(
            [b"x"] * 40,
            f"t.parquet, column 'b': holds values of type binary; {KINDS}\n{LEAVE_B}",
            id="bytes",
        ),
        pytest.param(
            [1.0] * 20 + [None] + [2.0] * 19,
            f"t.parquet, row 21, column 'b': {ONE_MISSING}\n{FILL_B}",
            id="missing number",
        ),
        pytest.param(
            ["x"] * 20 + [None] + ["z"] * 19,
            f"t.parquet, row 21, column 'b': {ONE_MISSING}\n{FILL_B}",
            id="missing text",
        ),
        pytest.param(
            [None] * 40,
            "t.parquet, column 'b': no value in any of its 40 rows\n"
            "Leave it out: --set 'data.drop=[\"b\"]'.",
            id="nothing",
        ),
    ],
)
def test_parquet_columns_that_cannot_be_used(refuse, column, text):
    assert refuse(frame(b=column).to_parquet, name="t.parquet") == text


def test_parquet_files_that_cannot_be_used(refuse, table):
    assert refuse(table(), name="t.parquet") == (
        "t.parquet: is no Parquet file: Parquet magic bytes not found in footer. Either the file "
        "is corrupted or this is not a parquet file.\n"
        "Check that it was written to its end, and that the ending .parquet is right."
    )
    assert refuse(frame()[:0].to_parquet, name="t.parquet") == (
        "t.parquet: has no rows\nCheck that the file was written to its end."
    )


def test_absolute_paths(table, tmp_path):
    (tmp_path / "t.csv").write_text(table())
    config = DataConfig(source=str(tmp_path / "t.csv"), target="y")
    assert load_data(config, folder=tmp_path / "elsewhere").name == "t"
