"""Memory and time of loading a large CSV file.

python tests/data/measure_memory.py write FOLDER 1000000 50
python tests/data/measure_memory.py load FOLDER

Writing and loading are two processes, so that the peak of the second is that of loading alone.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import sklearn.model_selection  # noqa: F401  (loaded before the measurement begins)

from dltune.data.load import load_data
from dltune.recipe.schema import DataConfig

MEGABYTE = 1e6


def write_table(path: Path, rows: int, columns: int) -> None:
    """Random numbers of seven digits, one column of words, and a price."""
    rng = np.random.default_rng(0)
    words = np.array(["red", "green", "blue"])
    with path.open("wb") as file:
        for start in range(0, rows, 20_000):
            count = min(20_000, rows - start)
            numbers = rng.normal(size=(count, columns - 2)).round(6)
            cells = {f"x{i}": numbers[:, i] for i in range(columns - 2)}
            cells["color"] = words[rng.integers(0, 3, count)]
            cells["price"] = 3 * numbers[:, 0] + rng.normal(size=count).round(6)
            options = pa.csv.WriteOptions(include_header=start == 0)
            pa.csv.write_csv(pa.table(cells), file, write_options=options)


def held_bytes(field: str) -> int:
    """Memory of this process: "VmRSS" now, "VmHWM" at most so far (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) * 1024


def measure(folder: Path) -> dict[str, float]:
    """Load the table once."""
    before, began = held_bytes("VmRSS"), time.perf_counter()
    dataset = load_data(DataConfig(source="t.csv", target="price"), folder=folder)
    seconds = time.perf_counter() - began
    return {
        "rows": len(dataset.train) + len(dataset.dev) + len(dataset.test or ()),
        "columns": len(dataset.feature_names),
        "file_mb": (folder / "t.csv").stat().st_size / MEGABYTE,
        "growth_mb": (held_bytes("VmHWM") - before) / MEGABYTE,
        "peak_mb": held_bytes("VmHWM") / MEGABYTE,
        "seconds": seconds,
    }


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write_table(Path(sys.argv[2]) / "t.csv", int(sys.argv[3]), int(sys.argv[4]))
    else:
        print(json.dumps(measure(Path(sys.argv[2]))))
