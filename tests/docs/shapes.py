"""Comparing a transcript with what a command prints now: wording counts, measured numbers do not.

Both sides become a shape first:

- lines of progress ("12 done, 2 running of 64  ...", "epoch  3/20 ...") are left out;
- every number is `#`, also 1e-3, 1,079, 12 %, nan and a list like 64,64; "1 min 3 s" is `# s`;
- a sparkline is `~`, a plot drawn with box characters one `<plot>`;
- rows of a table that start with a number are one `<rows>`: how trials rank, and so which words
  stand where, may differ by rounding. The header of the table stays;
- a "yes", "no" or "unclear" in a column of its own is `?`;
- lines of one paragraph are joined, since a number of another length moves the line breaks.

Where the numbers count too, only times are forgiven: a number with a unit of time is `# s`,
and in a table a cell of the column `seconds` is `#`.

In the transcript a line `...` stands for any number of lines.
"""

from __future__ import annotations

import difflib
import re

PROGRESS = re.compile(r"\d+ done(, \d+ running)? of \d+  |epoch +\d+/\d+ ")
PLOT = re.compile(r"[│┤┌┐└┘┬┴]")
SPARKLINE = re.compile(r"[▁▂▃▄▅▆▇█]+( [▁▂▃▄▅▆▇█]+)*")
NUMBER = re.compile(
    r"(?<![\w.])[-+]?(\d+(\.\d+)?(e[-+]?\d+)?|nan|inf)(,[-+]?\d+(\.\d+)?(e-?\d+)?)*( ?%)?(?!\w)"
)
ROW = re.compile(r" *\d+\*?  +\S")
TIME = re.compile(r"(?<![\w.])\d[\d,.]* (h \d+ min|min \d+ s|s|ms|us|min|h)\b")
ELISION = "..."


def shape(text: str, *, numbers: bool = False) -> list[str]:
    """The lines of a text without what may differ between two machines, or two runs of one.

    numbers  whether they count, times excepted.
    """
    shapes: list[str] = []
    timed = None  # the column of seconds
    for line in text.splitlines():
        if PROGRESS.match(line):
            continue
        if numbers:
            cells = TIME.sub("# s", line).split()
            if "seconds" in cells and "trial" in cells:
                timed = cells.index("seconds")
            elif timed is not None and ROW.match(line):
                cells[timed] = "#"
            shapes.append(" ".join(cells))
            continue
        one = _line_shape(line)
        if one in ("<plot>", "<rows>", "#") and shapes and shapes[-1] == one:
            continue
        shapes.append(one)
    return shapes


def _line_shape(line: str) -> str:
    if line.strip() == ELISION:
        return ELISION
    if PLOT.search(line):
        return "<plot>"
    if ROW.match(line):
        return "<rows>"
    line = SPARKLINE.sub("~", line)
    line = re.sub(r"(?<=  )(yes|no|unclear)$", "?", line.rstrip())
    line = NUMBER.sub("#", line)
    line = re.sub(r"# (h # min|min # s|s)\b", "# s", line)
    line = re.sub(r"#( #)+$", "#", " ".join(line.split()))
    return line


def words(shapes: list[str]) -> str:
    """A shape as one line, so that line breaks inside a paragraph do not matter."""
    return " ".join(" ".join(shapes).split())


def differs(shown: str, printed: str, *, numbers: bool = False) -> str:
    """What of the printed text is not as shown; empty if it is.

    shown    may hold lines `...`.
    numbers  whether they must be the same, times excepted.
    """
    parts: list[list[str]] = [[]] if (wanted := shape(shown, numbers=numbers)) else []
    for line in wanted:
        parts.append([]) if line == ELISION else parts[-1].append(line)
    pieces = [words(part) for part in parts]
    rest = words(shape(printed, numbers=numbers))
    for index, piece in enumerate(pieces):
        is_first, is_last = index == 0, index == len(pieces) - 1
        place = rest.rfind(piece) if is_last and not is_first else rest.find(piece)
        if place < 0 or (is_first and place > 0) or (is_last and place + len(piece) < len(rest)):
            return f"shown:\n  {piece}\nprinted:\n  {rest.strip()}"
        rest = rest[place + len(piece) :].lstrip()
    return "" if pieces or not rest else f"shown: nothing\nprinted:\n  {rest}"


def likeness(shown: str, printed: str) -> float:
    """Share of the shown words that are printed too, in the same order; in [0, 1].

    >>> likeness("dev error 0.02 is fine", "dev error 0.04 is high bias")
    0.8
    """
    ours, theirs = words(shape(shown)).replace(ELISION, "").split(), words(shape(printed)).split()
    matcher = difflib.SequenceMatcher(a=ours, b=theirs, autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / max(len(ours), 1)
