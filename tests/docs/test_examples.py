"""The examples of the help texts, and the code in the pages: they run as they stand."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dltune.cli.main import app, main
from tests.docs.consoles import Shown, fault, parse, replay, shown_in
from tests.docs.pages import DOCS, PAGES, ROOT, blocks_of

# In the order of the work, since a training and a report need the run of the search before them.
# What is appended makes an example small and leaves it what it is; the code says how it ends.
SMALL = {
    "lr-find": (["--steps", "40"], 0),
    "batch-find": (["--no-sweep", "--max-batch", "64"], 0),
    "search": (["--trials", "2", "--set", "train.epochs=1"], 0),
    "train": (["--set", "train.epochs=1"], 0),
    "diagnose": ([], 1),
    "report": ([], 0),
    "runs": ([], 0),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a copy of recipes/."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def example_of(name: str) -> str:
    """The one example in a command's help."""
    (command,) = [one for one in app.registered_commands if one.name == name]
    assert command.callback is not None
    lines = [line.strip() for line in (command.callback.__doc__ or "").splitlines()]
    (example,) = [line.removeprefix("Example: ") for line in lines if line.startswith("Example: ")]
    return example


def test_every_command_has_an_example_here() -> None:
    assert set(SMALL) == {command.name for command in app.registered_commands}


@pytest.mark.parametrize("name", SMALL)
def test_the_help_has_one_sentence_and_one_example(name: str) -> None:
    context = parse(example_of(name))
    assert context.info_name == name
    sentence, blank, example, *rest = context.command.help.splitlines()
    assert sentence.endswith(".")
    assert (blank, rest) == ("", [])
    assert example == f"Example: {example_of(name)}"


@pytest.mark.slow
def test_the_examples_run_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, (small, code) in SMALL.items():
        arguments = [*example_of(name).split()[1:], *small]
        assert main(arguments) == code, f"dltune {' '.join(arguments)}: {capsys.readouterr().err}"
        printed = capsys.readouterr()
        assert printed.out
        assert printed.err.splitlines()[-1].startswith("next: dltune ")
    assert (folder / "lr_find.png").exists()


def test_the_first_thing_that_the_program_suggests_can_be_typed() -> None:
    epilog = app.info.epilog
    assert isinstance(epilog, str)
    context = parse(epilog.removeprefix("Start with: "))
    assert (ROOT / context.params["recipe"]).is_file()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the commands go through sh")
def test_the_example_of_own_data_and_an_own_model(tmp_path: Path) -> None:
    """docs/recipes.md: its files are written and its command gives what it shows."""
    page = list(blocks_of((DOCS / "recipes.md").read_text(encoding="utf-8")))
    files = {name: block.body for block in page if (name := block.mark("file:"))}
    assert set(files) == {"my_data.py", "my_net.py", "rings.toml"}
    for name, body in files.items():
        (tmp_path / name).write_text(body, encoding="utf-8")
    replayed = [block for block in page if block.mark("replay") is not None]
    commands = [command for block in replayed for command in shown_in(block)]
    assert commands
    assert [found for command in commands if (found := fault(command, tmp_path))] == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the commands go through sh")
def test_the_example_of_a_list_and_a_comparison(folder: Path) -> None:
    """docs/runs.md: its trainings lead to the list and to the comparison that it shows."""
    page = list(blocks_of((DOCS / "runs.md").read_text(encoding="utf-8")))
    (trainings,) = (block.body for block in page if block.language == "sh")
    for line in trainings.splitlines():
        code, printed = replay(Shown(line=line, output="", code=0), folder)
        assert code == 0, printed
    for block in (block for block in page if block.mark("replay") is not None):
        (shown,) = shown_in(block)
        assert fault(shown, folder) == ""


# Of a page its transcripts, in the order in which a reader would come to them: the first search
# makes the run that the others train, report and diagnose.
TOUR = ("search.md", "train.md", "report.md", "lr-find.md", "batch-find.md", "diagnose.md")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the commands go through sh")
def test_the_pages_show_what_the_program_prints(folder: Path) -> None:
    wrong = []
    pages = [block for name in TOUR for block in blocks_of((DOCS / name).read_text("utf-8"))]
    made = [block for block in pages if block.mark("set-up") is not None]
    consoles = [b for b in pages if b.language == "console" and b.mark("by hand") is None]
    for block in made:
        code, printed = replay(Shown(line=block.body, output="", code=0), folder)
        assert code == 0, printed
    # A report of what lr-find keeps stands in a page before that of lr-find.
    late = [block for block in consoles if "report first-rate" in block.body]
    for block in [*(one for one in consoles if one not in late), *late]:
        wrong += [found for shown in shown_in(block) if (found := fault(shown, folder))]
    assert not wrong, "\n\n".join(wrong)


def facts_in(page: Path) -> Iterator[tuple[str, str]]:
    """What a page says about trials of the search over digits: which trial and what, its value."""
    text = page.read_text(encoding="utf-8")
    for block in blocks_of(text):
        if not re.search(r"runs/digits(-mlp-1)?\b", block.body):
            continue
        for _, trial, dev, train, epoch, _, *values in re.findall(
            r"^ *(\d+) +(\d+)  (0\.\d+)  (0\.\d+) +(\d+) +([\d.]+) +(\S+) +(\S+) +(\S+)$",
            block.body,
            flags=re.MULTILINE,
        ):
            yield from ((f"{trial} dev", dev), (f"{trial} train", train))
            yield from ((f"{trial} epoch", epoch), (f"{trial} values", " ".join(values)))
        best = re.search(
            r"^best: trial (\d+), epoch (\d+) of 10, .*\ndev error (\S+)   train error "
            r"(\S+)   test error (\S+)$",
            block.body,
            flags=re.MULTILINE,
        )
        if best:
            trial, epoch, dev, train, test = best.groups()
            yield from ((f"{trial} dev", dev), (f"{trial} train", train))
            yield from ((f"{trial} epoch", epoch), (f"{trial} test", test), ("best", trial))
        for trial, star, train, dev in re.findall(
            r"^ +(\d+)(\*?) +complete +([\d.]+) % +([\d.]+) %", block.body, flags=re.MULTILINE
        ):
            yield from ((f"{trial} dev", share(dev)), (f"{trial} train", share(train)))
            if star:
                yield "best", trial
        if judged := re.search(
            r"trial (\d+) \(best\).*?\nOf ([\d.]+) % dev error", block.body, re.S
        ):
            yield from (("best", judged[1]), (f"{judged[1]} dev", share(judged[2])))
    for dev, trial in re.findall(r"dev error of ([\d.]+) of trial (\d+)", text):
        yield f"{trial} dev", dev


def share(percent: str) -> str:
    """Percent as an error is shown: 2.23 is 0.0223."""
    return f"{float(percent) / 100:.4f}"


def test_pages_agree_about_every_trial() -> None:
    """One search stands in several pages; what they say about one trial of it is one thing."""
    said: dict[str, dict[str, list[str]]] = {}
    for page in PAGES:
        for what, value in facts_in(page):
            said.setdefault(what, {}).setdefault(value, []).append(page.name)
    (pages,) = said["best"].values()
    assert len(pages) > 3
    assert {what: values for what, values in said.items() if len(values) > 1} == {}


@pytest.mark.slow
def test_the_python_in_the_pages_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It reads runs/digits, a search, and runs/again, the training of its best.toml."""
    tiny = ["--set", "train.epochs=2"]
    main(["search", "recipes/digits-mlp.toml", "--trials", "4", "--name", "digits", *tiny])
    main(["train", "runs/digits/best.toml", "--name", "again"])
    capsys.readouterr()
    for page in ("search.md", "train.md", "lr-find.md", "batch-find.md", "python.md"):
        text = (DOCS / page).read_text(encoding="utf-8")
        programs = [block.body for block in blocks_of(text) if block.language == "python"]
        assert programs, page
        done = subprocess.run(
            [sys.executable, "-W", "ignore::FutureWarning", "-c", "\n".join(programs)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{page}: {done.stderr}"
