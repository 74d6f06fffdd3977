"""What stands in a page: fenced blocks with their marks, links, headings."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]

MARK = re.compile(r"<!-- (.+) -->")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block.

    marks     texts of the HTML comments in the lines before the fence, such as "exit 1".
    language  after the fence; may be empty.
    line      number of the fence's line in the page, from 1.
    """

    marks: tuple[str, ...]
    language: str
    body: str
    line: int

    def mark(self, word: str) -> str | None:
        """What follows the word in the mark that begins with it; None if there is none."""
        found = (mark for mark in self.marks if mark == word or mark.startswith(f"{word} "))
        return next((mark.removeprefix(word).strip() for mark in found), None)


def blocks_of(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    marks: list[str] = []
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        if line.startswith("```"):
            body = []
            for _, inner in lines:
                if inner == "```":
                    break
                body.append(inner)
            yield Block(
                marks=tuple(marks), language=line[3:], body="\n".join(body) + "\n", line=number
            )
            marks = []
        elif found := MARK.fullmatch(line):
            marks.append(found[1])
        elif line.strip():
            marks = []


def prose_of(text: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors_of(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them.

    >>> sorted(anchors_of("# `dltune search`: many\\n## `--json`"))
    ['--json', 'dltune-search-many']
    """
    headings = re.findall(r"^#+ (.+)$", prose_of(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
