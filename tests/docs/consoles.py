"""Transcripts in pages: the commands in them, and running them again.

A `console` block holds lines `$ dltune ...`, each followed by what a terminal of 80 columns showed:
stdout and stderr mixed, progress left out, `...` for lines left out. Exit codes are told by the
transcript (an `error:` line is 2; findings, failed trials or a refused suggestion are 1; else 0) or
by a mark before the block: `<!-- exit 1 -->` for all its commands, `<!-- exit 0 0 1 -->` one each.

Numbers are those of one kind of machine (`MADE_ON`): there they must be the same to the last digit,
times excepted. Elsewhere sums round differently, and the words alone count. A block marked
`<!-- varies -->` is about times or dates: it may end with 0 or 1, and half of its words are enough.
One marked `<!-- by hand -->` cannot be run again, since somebody pressed Ctrl-C in it or changed a
file.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import typer

from dltune.cli.main import app
from tests.docs.pages import Block
from tests.docs.shapes import differs, likeness

# Processor, cores, vector instructions that torch uses, torch: together they decide how sums round.
MADE_ON = ("x86_64 AuthenticAMD", 2, "AVX2", "2.13.0")
ENOUGH_WORDS = 0.5  # of a transcript that varies
PROMPT = "$ "
SHELL_WORDS = {"|", ">", "2>/dev/null", "2>&1", "&&", "<"}
# A diagnosis ends with 1 if a finding is an error or the verdict is open; so does a search in which
# trials came to nothing.
FINDING = re.compile(
    r"^[A-Z]+\d{3} [\w-]+ \(error\)$|^(\S+ trial \d+( \(best\))?: )?inconclusive"
    r"|^\d+ of \d+ trials? did not complete:$",
    flags=re.MULTILINE,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown:
    """One command of a transcript.

    line    as typed, without the prompt.
    output  what followed it.
    code    the exit code that page or transcript tell.
    varies  whether another machine may come to another finding.
    """

    line: str
    output: str
    code: int
    varies: bool = False


def shown_in(block: Block) -> Iterator[Shown]:
    """The commands of a console block that call dltune."""
    parts = re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]
    marked = [int(code) for code in (block.mark("exit") or "").split()]
    assert len(marked) in (0, 1, len(parts)), (
        f"line {block.line}: {len(parts)} commands, but <!-- exit --> has {len(marked)} codes"
    )
    codes = marked * len(parts) if len(marked) == 1 else marked
    for index, part in enumerate(parts):
        line, _, output = part.replace("\\\n", " ").partition("\n")
        if line.startswith("dltune "):
            code = codes[index] if codes else code_of(output)
            varies = block.mark("varies") is not None
            yield Shown(line=line, output=output, code=code, varies=varies)


def code_of(output: str) -> int:
    """The exit code that an output tells.

    >>> code_of("error: there is no run digit"), code_of("BIAS001 high-bias (error)"), code_of("")
    (2, 1, 0)
    """
    if re.search(r"^error: ", output, flags=re.MULTILINE):
        return 2
    return 1 if FINDING.search(output) else 0


def replay(shown: Shown, folder: Path, *, limit_seconds: float = 120) -> tuple[int, str]:
    """Run a command in a folder as on a terminal of 80 columns; exit code, stdout with stderr."""
    tools = folder / ".tools"
    tools.mkdir(exist_ok=True)
    command = tools / "dltune"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m dltune "$@"\n')
    command.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", shown.line],
        cwd=folder,
        env=env | {"PATH": path, "COLUMNS": "80", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit_seconds,
        check=False,
    )
    return done.returncode, done.stdout


def fault(shown: Shown, folder: Path) -> str:
    """Run a command again; what is not as shown, empty if nothing is."""
    code, printed = replay(shown, folder)
    head = f"$ {shown.line}\nexit code {code}"
    if shown.varies:
        alike = likeness(shown.output, printed)
        bad = code not in (0, 1) or alike < ENOUGH_WORDS
        return f"{head}, alike {alike:.2f}:\n{printed}" if bad else ""
    if code != shown.code:
        return f"{head}, shown {shown.code}:\n{printed}"
    difference = differs(shown.output, printed, numbers=machine() == MADE_ON)
    return f"$ {shown.line}\n{difference}" if difference else ""


def machine() -> tuple[str, int | None, str, str]:
    """What decides how this machine rounds."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"vendor_id\s*: (\w+)", info.read_text()) if info.exists() else None
    return (
        f"{platform.machine()} {found[1] if found else ''}",
        os.cpu_count(),
        torch.backends.cpu.get_cpu_capability(),
        torch.__version__.partition("+")[0],
    )


def parse(line: str) -> Any:
    """The context of `dltune ...` as the program reads it, without running anything.

    Raises the program's own usage error if the line cannot be typed.
    """
    program, *arguments = shlex.split(line)
    assert program == "dltune", line
    cut = next((at for at, word in enumerate(arguments) if word in SHELL_WORDS), None)
    group: Any = typer.main.get_command(app)
    name, command, rest = group.resolve_command(
        group.make_context("dltune", [], resilient_parsing=True), arguments[:cut]
    )
    return command.make_context(name, rest)
