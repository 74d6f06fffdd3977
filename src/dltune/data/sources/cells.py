"""What the text of a cell means: a number, nothing, a date, or a word."""

from __future__ import annotations

import re

NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity|nan)", re.IGNORECASE)

WHOLE = re.compile(r"[+-]?\d{1,300}")  # float64 ends at 1.8e308

CODE = r"^\s*[+-]?0\d+\s*$"
"""Begins with a zero, as codes and numbered labels do (RE2's syntax as well as Python's)."""

DECIMAL_COMMA = re.compile(r"[+-]?\d[\d.]*,\d+")

DIGIT_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?")

MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)

DATE_OR_TIME = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}(?:[T ].*)?"  # 2024-05-31, 2024-05-31T08:00
    r"|\d{1,4}[./]\d{1,2}[./]\d{1,4}(?: .*)?"  # 31.05.2024, 5/31/24, 2024/05/31
    r"|\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?"  # 08:00, 08:00:00.5
    rf"|\d{{1,2}}\.?[- ]{MONTH}[- ,]+\d{{2,4}}(?: .*)?"  # 19-Sep-03, 1 September 2003
    rf"|{MONTH} \d{{1,2}},? \d{{2,4}}(?: .*)?",  # Sep 19 2003, September 19, 2003
    re.IGNORECASE,
)

MISSING = frozenset({"", "nan", "null", "n/a", "#n/a"})
"""What stands for a missing value in any column, in small letters: what pandas, R, SQL and
spreadsheets write. Not "na" and "none": columns of words use them as words (no garage)."""

MISSING_NUMBER = MISSING | {"na", "none", "?", "-", "."}
"""What stands for a missing value where numbers are expected."""


def number_in(text: str) -> float | None:
    """The number a cell holds, or None. Blanks around it are allowed; 1_000 and 0x10 are not.

    Digits alone are an int, which keeps all of them.

    >>> number_in(" -1.5e3 "), number_in("9007199254740993"), number_in("12,5"), number_in("")
    (-1500.0, 9007199254740993, None, None)
    """
    stripped = text.strip()
    if not NUMBER.fullmatch(stripped):
        return None
    return int(stripped) if WHOLE.fullmatch(stripped) else float(stripped)


def is_missing(text: str) -> bool:
    """Whether a cell of any column means that there is no value.

    >>> is_missing(" "), is_missing("NaN"), is_missing("none")
    (True, True, False)
    """
    return text.strip().lower() in MISSING


def is_missing_number(text: str) -> bool:
    """Whether a cell that is no number means that there is none, such as "n/a" or "-"."""
    return text.strip().lower() in MISSING_NUMBER


def is_date_or_time(text: str) -> bool:
    """Whether a text looks like a date or a time of day.

    >>> is_date_or_time("2024-05-31"), is_date_or_time("08:15"), is_date_or_time("3.5")
    (True, True, False)
    >>> is_date_or_time("19-Sep-03"), is_date_or_time("Jan 1 2000"), is_date_or_time("3 marks 20")
    (True, True, False)
    """
    return DATE_OR_TIME.fullmatch(text) is not None


def has_decimal_comma(text: str) -> bool:
    """Whether a text is a number with a comma for its decimal point, such as "12,5"."""
    return DECIMAL_COMMA.fullmatch(text.strip()) is not None


def has_digit_groups(text: str) -> bool:
    """Whether a text is a number with commas between groups of three digits, such as "1,234.5".

    >>> has_digit_groups("7,022"), has_digit_groups("0,125"), has_digit_groups("12,5")
    (True, False, False)
    """
    return DIGIT_GROUPS.fullmatch(text.strip()) is not None
