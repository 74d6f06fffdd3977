"""What a diagnosis says: findings, each with its evidence and edits, around one verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from dltune.diagnosis.components import Component, Errors

Severity = Literal["error", "warning", "info"]


class Verdict(StrEnum):
    """The answer in one of five words.

    >>> Verdict("high bias") is Verdict.BIAS
    True
    """

    FINE = "fine"
    BIAS = "high bias"
    VARIANCE = "high variance"
    BOTH = "high bias and high variance"
    INCONCLUSIVE = "inconclusive"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edit:
    """One bounded change of one key of a recipe.

    key     dotted path, spelled as in the recipe.
    before  the value of the diagnosed trial; None if it is unset, or unknown.
    after   the value to try; a relative statement such as "x2" where `before` is unknown.
    reason  why this one, in one sentence.

    >>> Edit(key="train.epochs", before=20, after=40, reason="...").to_json()["from"]
    20
    """

    key: str
    before: Any
    after: Any
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The edit with the keys `key`, `from`, `to` and `reason`."""
        return {"key": self.key, "from": self.before, "to": self.after, "reason": self.reason}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a diagnosis saw.

    id, name  stable code and its name: BIAS001 high-bias.
    evidence  the numbers it rests on.
    reading   what they mean, in one sentence.
    edits     bounded changes to the recipe, the one to try first in front.
    advice    remedies that are no setting of a recipe.
    ceiling   the most that curing it can gain, as a share; None where nothing can be said.
    doubt     what would change this finding; may be empty.
    """

    id: str
    name: str
    severity: Severity
    evidence: str
    reading: str
    edits: tuple[Edit, ...] = ()
    advice: tuple[str, ...] = ()
    ceiling: float | None = None
    doubt: str = ""

    def to_json(self) -> dict[str, Any]:
        """The finding as plain values, its edits too."""
        document = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return document | {
            "edits": [edit.to_json() for edit in self.edits],
            "advice": list(self.advice),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skipped:
    """A check that was not made, and why."""

    check: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The answer about one training.

    verdict     about bias and variance; other findings do not change it.
    headline    the verdict with what stands beside it.
    arithmetic  how the dev error is made up; empty without errors.
    errors      None for a training that has no errors to judge.
    findings    in order of urgency: the largest high component first.
    notes       what was assumed, and in what way a number is approximate.
    trial       number of the trial in its run, and its state; None for bare numbers.
    """

    verdict: Verdict
    headline: str
    arithmetic: str
    errors: Errors | None
    components: tuple[Component, ...]
    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    tolerance: float
    confidence: float
    trial: int | None = None
    state: str | None = None

    @property
    def clean(self) -> bool:
        """Nothing to do: the verdict is fine and no finding is an error."""
        serious = any(finding.severity == "error" for finding in self.findings)
        return self.verdict is Verdict.FINE and not serious

    def to_json(self) -> dict[str, Any]:
        """The diagnosis as plain values; docs/diagnose.md has the schema."""
        return {
            "verdict": self.verdict.value,
            "headline": self.headline,
            "arithmetic": self.arithmetic,
            "trial": self.trial,
            "state": self.state,
            "tolerance": self.tolerance,
            "confidence": self.confidence,
            "errors": None if self.errors is None else dataclasses.asdict(self.errors),
            "components": [component_json(component) for component in self.components],
            "findings": [finding.to_json() for finding in self.findings],
            "notes": list(self.notes),
            "skipped": [dataclasses.asdict(skipped) for skipped in self.skipped],
        }


def component_json(component: Component) -> Mapping[str, Any]:
    """A component as plain values.

    >>> part = Component(
    ...     name="bias", difference=0.1, interval=None, material=True, significant=None
    ... )
    >>> component_json(part)["high"]
    True
    """
    return {
        "name": component.name,
        "size": component.size,
        "difference": component.difference,
        "interval": None if component.interval is None else list(component.interval),
        "high": component.high,
        "material": component.material,
        "significant": component.significant,
        "note": component.note,
    }
