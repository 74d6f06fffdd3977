"""Damaged run folders: told in two lines, never with a traceback, and no good trial is lost."""

from __future__ import annotations

import json
import random
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dltune.runs.run import load_run
from tests.cli.conftest import Dltune
from tests.cli.damage import ODD_VALUES, changed, damage, places
from tests.runs.folders import make_run

READERS = (
    ("report", "RUN"),
    ("report", "RUN", "--json"),
    ("diagnose", "RUN", "--all"),
    ("diagnose", "RUN", "--json"),
    ("runs",),
    ("runs", "RUN", "sound"),
)
RESUME = ("search", "--resume", "--name", "RUN", "--workers", "1")
RESULT = (
    '{"format": 1, "comparisons": [{"over": "train.batch_size", "values": '
    '[{"suggestion": 0.1}]}], "suggestion": 0.1, "constant": null, "advice": "", '
    '"validation": null}'
)


@pytest.fixture(name="hurt")
def fixture_hurt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder to damage, of a search that is complete, beside a sound one."""
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "sound")
    return make_run(tmp_path / "runs" / "hurt", [0.5, None, 0.25, 0.75])


def run_all(
    dltune: Dltune, commands: Sequence[Sequence[str]], run: str, is_allowed: Callable[[int], bool]
) -> None:
    for command in commands:
        done = dltune(*(word.replace("RUN", run) for word in command))
        assert is_allowed(done.code), (command, done)
        assert "Traceback" not in done.err


def fuzz(dltune: Dltune, hurt: Path, seed: int, commands: Sequence[Sequence[str]]) -> None:
    """Damage one file of a copy, and read it with every command."""
    chance = random.Random(seed)
    folder = hurt.with_name("copy")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(hurt, folder)
    files = sorted(one for one in folder.rglob("*") if one.suffix not in ("", ".safetensors"))
    weights = [4 if one.suffix in (".journal", ".json") else 1 for one in files]
    damage(chance.choices(files, weights)[0], chance)
    run_all(dltune, commands, "copy", lambda code: code in (0, 1, 2))


def with_files(folder: Path) -> None:
    """What a search leaves that trained, and a finder."""
    (folder / "stack.json").write_text(
        '{"format": 1, "plans": {"a": {"stack": 8, "one_worker": false, "reason": "", '
        '"microseconds": {"1": 9.0}}}}'
    )
    (folder / "result.json").write_text(RESULT)


@pytest.mark.parametrize("seed", range(12))
def test_readers_take_what_is_damaged(dltune: Dltune, hurt: Path, seed: int) -> None:
    with_files(hurt)
    fuzz(dltune, hurt, seed, READERS)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(100, 500, 100))
def test_readers_and_a_resume_take_what_is_damaged(dltune: Dltune, hurt: Path, start: int) -> None:
    with_files(hurt)
    for seed in range(start, start + 100):
        fuzz(dltune, hurt, seed, [*READERS, RESUME] if seed % 5 == 0 else READERS)


def test_every_key_of_a_trial_may_be_of_another_kind(dltune: Dltune, hurt: Path) -> None:
    """A sample of all keys and all kinds, which another prime number would change."""
    journal = hurt / "study.journal"
    *before, last = journal.read_text().splitlines(keepends=True)
    trial = json.loads(last)
    cases = [(place, value) for place in places(trial) for value in ODD_VALUES]
    for place, value in cases[::97]:
        journal.write_text("".join([*before, changed(trial, place, value) + "\n"]))
        run_all(dltune, [READERS[0], READERS[2]], "hurt", lambda code: code in (0, 1, 2))


@pytest.mark.parametrize("result", ["{}", '{"comparisons": [3]}', '{"comparisons": 3}', "[" * 2000])
def test_a_result_of_other_kinds_is_told(dltune: Dltune, hurt: Path, result: str) -> None:
    make_run(hurt.with_name("lr"), [], command="lr-find", strategy="")
    (hurt.with_name("lr") / "result.json").write_text(result)
    (hurt.with_name("lr") / "result.txt").write_bytes(b"\xff")
    done = dltune("report", "lr")
    assert (done.code, done.err.splitlines()[-2].startswith("error: ")) == (2, True)
    assert "result.json: damaged" in done.err


class TestATrialThatCannotBeRead:
    """One line of the journal; the others are as they were."""

    @pytest.fixture(autouse=True)
    def _spoil(self, hurt: Path) -> None:
        self.journal = hurt / "study.journal"
        self.content = self.journal.read_text().replace('"objective":0.5', '"objective":"0.5"')
        self.journal.write_text(self.content)

    def test_its_line_is_named_and_nothing_is_written(self, dltune: Dltune, hurt: Path) -> None:
        line = 1 + next(
            number
            for number, text in enumerate(self.content.splitlines())
            if '"objective":"0.5"' in text
        )
        csv = (hurt / "trials.csv").read_bytes()
        for command in (("report", "hurt"), ("diagnose", "hurt"), RESUME):
            done = dltune(*(word.replace("RUN", "hurt") for word in command))
            assert (done.code, done.out) == (2, "")
            assert f"study.journal, line {line}: damaged (TypeError: objective is " in done.err
        assert self.journal.read_text() == self.content
        assert (hurt / "trials.csv").read_bytes() == csv

    def test_the_advice_brings_the_others_back(self, dltune: Dltune, hurt: Path) -> None:
        advice = dltune("report", "hurt").err
        command = shlex.split(advice.partition("Take the line out: ")[2].partition(". The")[0])
        subprocess.run(command, check=True)
        assert [trial.number for trial in load_run(hurt).trials] == [1, 2, 3]
        assert dltune("report", "hurt").code == 1


def test_values_that_are_of_no_range_stop_a_resume(dltune: Dltune, hurt: Path) -> None:
    recipe = hurt / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("lr = {log = [1e-4", "lr = {log = [9e-2"))
    done = dltune(*(word.replace("RUN", "hurt") for word in RESUME))
    assert done.code == 2
    assert "trial 0 is not of its recipe.toml: optim.lr = " in done.err
