"""Columns that cannot be used as they are: all of them in one message, so that one round is enough.

A reader and the checks after it each find what they can; `refuse` puts it into one error, whose
advice holds when typed: it leaves out all of them, and what the recipe leaves out already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from dltune.data.selection import drop_hint
from dltune.errors import DataError, escaped

COLUMNS_NAMED = 4
"""Columns named with what is wrong in one message: about a line of a terminal."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Complaint:
    """What is wrong with one or more columns.

    found    the whole sentence: where, what, what must hold.
    columns  what is wrong with each, in a few words, by name.
    mend     how to mend it, without an end; may be empty.
    link     what leads over to leaving the columns out.
    instead  what else helps, from the comma on; may be empty.
    """

    found: str
    columns: Mapping[str, str]
    mend: str = ""
    link: str = "Leave it out: "
    instead: str = ""


OR_LEAVE_OUT = ", or leave the column out: "


def refuse(complaints: Sequence[Complaint], *, dropped: Sequence[str], left: int) -> DataError:
    """One error for all complaints; the first stands in full.

    dropped  the columns that the recipe leaves out already.
    left     how many columns are there without those complained about.

    >>> dates = Complaint(found="t.csv, column 'b': holds dates", columns={"b": "dates"})
    >>> texts = Complaint(found="t.csv, column 'c': 40 texts", columns={"c": "40 texts"})
    >>> print(refuse([dates, texts], dropped=["a"], left=1))
    t.csv, column 'b': holds dates; not usable either: c (40 texts)
    Leave it out: --set 'data.drop=["a", "b", "c"]'.
    """
    first, *others = complaints
    names = {name: what for complaint in complaints for name, what in complaint.columns.items()}
    rest = [
        f"{escaped(name)} ({what})"
        for complaint in others
        for name, what in complaint.columns.items()
        if name not in first.columns
    ]
    found = first.found
    if rest:
        more = f", {len(rest) - COLUMNS_NAMED:,} more" if len(rest) > COLUMNS_NAMED else ""
        found += f"; not usable either: {', '.join(rest[:COLUMNS_NAMED])}{more}"
    if left:
        link = first.link.replace("column", "columns") if len(names) > 1 else first.link
        hint = f"{first.mend}{link}{drop_hint(list(names), dropped)}{first.instead}."
    else:  # advice to leave them out would end in another mistake
        hint = f"{first.mend or 'Give columns to learn from'}{first.instead}."
    return DataError(found, hint=hint)
