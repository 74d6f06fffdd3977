from __future__ import annotations

import pytest

from dltune.diagnosis.wording import parse_share
from dltune.errors import UsageError


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("12%", 0.12),
        ("12 %", 0.12),
        (" 0.12 ", 0.12),
        (".12", 0.12),
        ("1e-2", 0.01),
        ("0", 0.0),
        ("100%", 1.0),
        ("0.25%", 0.0025),
        ("12", 12.0),  # refused later, where it is known to be an error
    ],
)
def test_parse_share(text: str, share: float) -> None:
    assert parse_share("--dev-error", text) == share


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "twelve",
            "--dev-error is 'twelve': a number or a percentage is needed\n"
            "Type --dev-error 0.12 or --dev-error 12%.",
        ),
        (
            "nan",
            "--dev-error is 'nan': a number or a percentage is needed\n"
            "Type --dev-error 0.12 or --dev-error 12%.",
        ),
        (
            "12,5 %",
            "--dev-error is '12,5 %': a number or a percentage is needed\n"
            "Decimals take a point. Did you mean 12.5%?",
        ),
        (
            "120%",
            "--dev-error is '120%': a share is at most 100%\n"
            "If it is 1 - R^2, type --dev-error 1.2 and --regression.",
        ),
    ],
)
def test_parse_share_refuses(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_share("--dev-error", text)
    assert str(refusal.value) == message


def test_a_tolerance_above_all_is_not_taken_for_1_minus_r_squared() -> None:
    with pytest.raises(UsageError) as refusal:
        parse_share("--tolerance", "150%")
    assert str(refusal.value) == (
        "--tolerance is '150%': a share is at most 100%\nType --tolerance 12%."
    )
