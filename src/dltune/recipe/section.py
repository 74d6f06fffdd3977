"""What every section of a recipe shares: strict types, no unknown keys, frozen once made.

The types here are the words that the sections are written in (`Share`, `Count`, ...); a bound
lives in the type so that the error message, the reference page and the check are one thing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, PlainValidator
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A table of a recipe: an int is a number but 1.0 is not a whole number, and true is neither.

    >>> class Example(Section):
    ...     rate: float = 0.1
    >>> Example(rate=1).rate
    1.0
    """

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        protected_namespaces=(),
    )


def refusal(must_hold: str) -> PydanticCustomError:
    """An error whose text is exactly what must hold, for checks that a bound cannot say.

    >>> refusal("must be odd").message()
    'must be odd'
    """
    # Braces would be read as fields of a template.
    return PydanticCustomError("dltune", "{must_hold}", {"must_hold": must_hold})


def by_name(*, default: str) -> Discriminator:
    """Tells the kinds of a section apart; a table without a name is of the default kind."""

    def tag(value: Any) -> Any:
        name = value.get("name", default) if isinstance(value, dict) else None
        return getattr(value, "name", None) if name is None else name

    return Discriminator(tag)


def _pair_from_list(value: Any) -> Any:
    """TOML has arrays only; torch wants its betas as a tuple."""
    return tuple(value) if isinstance(value, list) else value


def _none_where_off(value: Any) -> Any:
    """TOML has no null: false and "none" say it, so that a choice can have it among its options."""
    return None if value is False or (isinstance(value, str) and value == "none") else value


NEVER = BeforeValidator(_none_where_off)
"""Marks a key whose absence means never: false and "none" mean the same."""
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
"""From 0 up to but without 1."""
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
NotNegativeInt = Annotated[int, Field(ge=0)]
Betas = Annotated[tuple[BelowOne, BelowOne], BeforeValidator(_pair_from_list)]
Text = Annotated[str, Field(min_length=1)]
PositiveOrNever = Annotated[Positive | None, NEVER]
CountOrNever = Annotated[Count | None, NEVER]


def _check_batch_size(value: Any) -> int | str:
    # One check instead of a union, whose errors would name both arms.
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if whole or (isinstance(value, str) and value == "full"):
        return value  # type: ignore[no-any-return]
    raise refusal('must be a whole number, at least 1, or "full"')


BatchSize = Annotated[int | Literal["full"], PlainValidator(_check_batch_size)]
