"""A terminal as a list of lines: what stands on it after all that was written to it."""

from __future__ import annotations

import io
import re

CONTROL = re.compile(r"\x1b\[(\d*)([AJKm])|([\r\n])|([^\r\n\x1b]+)")


class Screen(io.StringIO):
    """A terminal that obeys what dltune writes to one, and refuses anything else.

    height  of it, in lines. A cursor that goes up beyond the first of them is an error of whoever
            sends it.
    raw     whether a new line goes straight down, as behind a pseudo-terminal.
    """

    def __init__(self, height: int = 24, *, raw: bool = False) -> None:
        super().__init__()
        self.height, self._raw = height, raw
        self.rows, self.row, self.column = [""], 0, 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        at = 0
        while at < len(text):
            found = CONTROL.match(text, at)
            assert found, f"not understood: {text[at:][:20]!r}"
            at = found.end()
            number, code, move, plain = found.groups()
            if plain:
                self._put(plain)
            elif move == "\r":
                self.column = 0
            elif move == "\n":
                self._down()
            elif code == "A":
                self.row -= int(number or 1)
                assert self.row >= max(0, len(self.rows) - self.height), "above the screen"
            elif code in ("J", "K"):
                assert not number
                self.rows[self.row] = self.rows[self.row][: self.column]
                if code == "J":
                    self.rows[self.row + 1 :] = [""] * (len(self.rows) - self.row - 1)
        return super().write(text)

    def _put(self, plain: str) -> None:
        line = self.rows[self.row]
        line = line[: self.column].ljust(self.column) + plain + line[self.column + len(plain) :]
        self.rows[self.row] = line
        self.column += len(plain)

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")
        if not self._raw:
            self.column = 0

    def lines(self) -> list[str]:
        """What stands there now, without blank lines at the end but for the cursor's."""
        rows = [row.rstrip() for row in self.rows]
        while len(rows) > self.row + 1 and not rows[-1]:
            rows.pop()
        return rows
