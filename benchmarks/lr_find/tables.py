"""From measurements and oracles to tables: regret, failures, spread, coverage, cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from oracle import Oracle
from tasks import Task

FAILURE = 0.5  # a regret above: half of what there was to learn was not learned
SCHEDULED = "sweep of five seeds"
Results = dict[str, dict[str, Any]]
Oracles = dict[str, Oracle]


def rates_of(result: dict[str, Any]) -> dict[str, list[float | None]]:
    """The rates of every rule on one task, one a seed."""
    rates: dict[str, list[float | None]] = {
        f"dltune, {SCHEDULED}": [one["rate"] for one in result["sweep"]],
        "dltune, validated": [one["rate"] for one in result["validated"]],
    }
    for calls in result["peers"].values():
        for rule in calls[0]["rates"]:
            rates[rule] = [one["rates"][rule] for one in calls]
    rates["fixed default"] = [result["fixed"]]
    for name, runs in result["random"].items():
        rates[f"random short runs, {name}"] = [one["rate"] for one in runs]
    return rates


def regrets_by_rule(
    tasks: Sequence[Task], results: Results, oracles: Oracles, *, by: str = "best"
) -> dict[str, list[list[float]]]:
    """Regrets by rule, task and seed; a rule that gives no rate has learned nothing: 1.

    by  "best" takes the dev loss at the best epoch, "final" after the last one.
    """
    regrets: dict[str, list[list[float]]] = {}
    for task in tasks:
        oracle, result = oracles[task.name], results[task.name]
        for rule, rates in rates_of(result).items():
            found = [min(1.0, oracle.regret(rate, by=by)) for rate in rates]
            regrets.setdefault(rule, []).append(found)
        for rule, runs in result["rate_free"].items():
            ends = [min(one[by], float(oracle.untrained.mean())) for one in runs]
            losses = [float(oracle.normalized(np.array(loss), by=by)) for loss in ends]
            regrets.setdefault(f"{rule}, no rate", []).append(losses)
    return regrets


def spreads(tasks: Sequence[Task], results: Results) -> dict[str, float]:
    """Standard deviation of log10 of the rates over the seeds, mean over the tasks, in decades."""
    by_rule: dict[str, list[float]] = {}
    for task in tasks:
        for rule, rates in rates_of(results[task.name]).items():
            there = [math.log10(rate) for rate in rates if rate]
            if len(there) > 1:
                by_rule.setdefault(rule, []).append(float(np.std(there, ddof=1)))
    return {rule: float(np.mean(values)) for rule, values in by_rule.items()}


def quality(tasks: Sequence[Task], results: Results, oracles: Oracles, *, by: str = "best") -> str:
    """A row a rule."""
    spread = spreads(tasks, results)
    lines = [
        "| rule | mean regret | median | 90 % | within 2 % | within 10 % | regret > 50 % | no rate "
        "| spread, decades |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    refused = _refused(tasks, results)
    for rule, groups in regrets_by_rule(tasks, results, oracles, by=by).items():
        values = np.array([regret for group in groups for regret in group])
        wide = f"{spread[rule]:.2f}" if rule in spread else ""
        lines.append(
            f"| {rule} | {values.mean():.3f} | {np.median(values):.3f} "
            f"| {np.quantile(values, 0.9):.3f} | {(values <= 0.02).mean():.0%} "
            f"| {(values <= 0.1).mean():.0%} | {(values > FAILURE).mean():.0%} "
            f"| {refused.get(rule, 0.0):.0%} | {wide} |"
        )
    return "\n".join(lines)


def _refused(tasks: Sequence[Task], results: Results) -> dict[str, float]:
    by_rule: dict[str, list[bool]] = {}
    for task in tasks:
        for rule, rates in rates_of(results[task.name]).items():
            by_rule.setdefault(rule, []).extend(rate is None for rate in rates)
    return {rule: float(np.mean(values)) for rule, values in by_rule.items()}


def coverage(tasks: Sequence[Task], results: Results, oracles: Oracles) -> str:
    """How often the band holds the oracle's best rate, and how wide it is."""
    lines = ["| band | holds the best rate | width, decades |", "|---|---|---|"]
    for name, kind in ((SCHEDULED, "sweep"), ("validated", "validated")):
        inside, widths = [], []
        for task in tasks:
            best = oracles[task.name].best_rate()
            for one in results[task.name][kind]:
                if one["band"] is None:
                    inside.append(False)
                    continue
                low, high = one["band"]
                inside.append(low <= best <= high)
                widths.append(math.log10(high / low))
        lines.append(f"| {name} | {np.mean(inside):.0%} | {np.median(widths):.1f} |")
    return "\n".join(lines)


def cost(tasks: Sequence[Task], costs: dict[str, dict[str, float]]) -> str:
    """Seconds and updates against fastai's finder and against one looped training, by model."""
    lines = [
        "| models | sweep / one fastai lr_find, seconds | updates, all five seeds / fastai's "
        "| validation / one looped training, seconds | whole trainings in it |",
        "|---|---|---|---|---|",
    ]
    for name, group in _by_model([task for task in tasks if task.name in costs]):
        figures = [_cost_of(costs[task.name]) for task in group]
        cells = []
        for values in zip(*figures, strict=True):
            low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
            cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
        lines.append(f"| {name}, {len(group)} tasks | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cost_of(one: dict[str, float]) -> tuple[float, float, float, float]:
    return (
        one["sweep"] / one["fastai"],
        one["sweep_updates"] / one["fastai_updates"],
        one["validation"] / one["looped"],
        one["trainings"],
    )


def _by_model(tasks: Sequence[Task]) -> Iterator[tuple[str, list[Task]]]:
    kinds: dict[str, Callable[[str], bool]] = {
        "perceptrons": lambda model: not model.startswith(("cnn", "transformer")),
        "convolutions": lambda model: model.startswith("cnn"),
        "transformers (own model, vmap)": lambda model: model.startswith("transformer"),
    }
    for name, belongs in kinds.items():
        group = [task for task in tasks if belongs(task.model)]
        if group:
            yield name, group
    yield "all", list(tasks)


def by_task(tasks: Sequence[Task], results: Results, oracles: Oracles) -> str:
    """A row a task: what was best, what was suggested, and what it lost."""
    lines = [
        "| task | best on grid | sweep | regret | validated | regret | best of fastai's rules |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in tasks:
        oracle, result = oracles[task.name], results[task.name]
        cells = [task.name, f"{oracle.best_rate():.2g}"]
        for kind in ("sweep", "validated"):
            rates = [one["rate"] for one in result[kind]]
            there = sorted(rate for rate in rates if rate)
            span = f"{there[0]:.2g} to {there[-1]:.2g}" if there else "-"
            cells += [span, f"{np.mean([min(1.0, oracle.regret(rate)) for rate in rates]):.3f}"]
        calls = [one["rates"] for one in result["peers"]["fastai"]]
        means = [np.mean([oracle.regret(one[rule]) for one in calls]) for rule in calls[0]]
        cells.append(f"{min(means):.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def all_tables(
    tasks: Sequence[Task],
    results: Results,
    oracles: Oracles,
    costs: dict[str, dict[str, float]],
) -> str:
    """Everything, the reporting half first."""
    parts = []
    for half in ("reporting", "tuning"):
        group = [task for task in tasks if task.half == half]
        if not group:
            continue
        parts += [
            f"## {half} half, {len(group)} tasks",
            quality(group, results, oracles),
            f"Judged by the dev loss after the last epoch:\n\n"
            f"{quality(group, results, oracles, by='final')}",
            coverage(group, results, oracles),
            cost(group, costs),
            by_task(group, results, oracles),
        ]
    return "\n\n".join(parts)
