"""Two runs side by side: whether they can be compared, and what differs between them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dltune.errors import RecipeError
from dltune.recipe.files import names_file, relocate, relocated_reference
from dltune.runs.about import Session
from dltune.runs.resume import recipe_changes
from dltune.runs.run import Run

# The keys of a recipe that decide which examples are in the dev split. The source is told by its
# hash instead: the same data may lie elsewhere.
DECIDES_EXAMPLES = ("data.seed", "data.split", "data.target")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that two runs have otherwise; None for what a run does not have or know."""

    name: str
    first: Any
    second: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What differs between two runs.

    obstacles   why their errors cannot be compared, each with what the first and the second have.
    recipe      the values and ranges by dotted path, as TOML text; None where a recipe cannot be
                read, and `problem` says why.
    conditions  the command, strategy, seed, versions, git, hashes of data and code: of the session
                that trained the best trial, or of the last one.
    """

    first: Run
    second: Run
    obstacles: tuple[Difference, ...]
    recipe: tuple[Difference, ...] | None
    problem: str
    conditions: tuple[Difference, ...]

    @property
    def dev_error(self) -> float | None:
        """By how much the dev error of the second run's best trial is larger; None if unknown.

        None too where the errors cannot be compared.
        """
        one, other = self.first.best, self.second.best
        if self.obstacles or one is None or other is None:
            return None
        if one.dev_error is None or other.dev_error is None:
            return None
        difference = other.dev_error - one.dev_error
        return difference if math.isfinite(difference) else None


def compare(first: Run, second: Run) -> Comparison:
    """Set two runs side by side; of each, only the journal and the recipe are read."""
    recipe: tuple[Difference, ...] | None = None
    problem = ""
    try:
        # The paths of files count from the run folder: both are said from the first.
        changes = recipe_changes(first.recipe, relocate(second.recipe, first.path))
        recipe = tuple(Difference(name=name, first=a, second=b) for name, a, b in changes)
    except RecipeError as mistake:
        problem = mistake.found
    return Comparison(
        first=first,
        second=second,
        obstacles=tuple(_obstacles(first, second, recipe or ())),
        recipe=recipe,
        problem=problem,
        conditions=tuple(_without_moved(_differing(_conditions(first), _conditions(second)))),
    )


def _obstacles(first: Run, second: Run, recipe: tuple[Difference, ...]) -> Iterator[Difference]:
    yield from _differing({"metric": first.about.metric}, {"metric": second.about.metric})
    tasks = first.about.data.task, second.about.data.task
    if None not in tasks:
        yield from _differing({"task": tasks[0]}, {"task": tasks[1]})
    # By contents, since a file may have moved; a run of an older dltune has noted none.
    data = [sorted(set(_data(run, _session(run)).values())) for run in (first, second)]
    decides = DECIDES_EXAMPLES if all(data) else (*DECIDES_EXAMPLES, "data.source")
    if all(data):
        yield from _differing({"data": data[0]}, {"data": data[1]})
    yield from (one for one in recipe if one.name.startswith(decides))


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Difference]:
    for name in [*first, *(name for name in second if name not in first)]:
        one, other = first.get(name), second.get(name)
        if one != other:
            yield Difference(name=name, first=one, second=other)


def _conditions(run: Run) -> dict[str, Any]:
    """By name, in the order in which they are told."""
    about, session = run.about, _session(run)
    git = session.git or {}
    return {
        "command": about.command,
        "strategy": about.strategy or None,
        **about.options,
        "seed": about.seed,
        "metric": about.metric,
        "task": about.data.task,
        **{f"{split} examples": count for split, count in _examples(run).items()},
        **{f"data {name}": digest for name, digest in _data(run, session).items()},
        **{f"code {name}": digest for name, digest in (session.code or about.code_hashes).items()},
        "git commit": git.get("commit"),
        "git has changes": git.get("dirty"),
        **session.versions,
        "threads": session.threads,
        "device": session.device,
        "accepted": ", ".join(run.accepted) or None,
    }


def _without_moved(differences: Iterator[Difference]) -> Iterator[Difference]:
    """The same, without files that both runs have, under another name or in another place."""
    found = list(differences)
    hashed = [one for one in found if one.name.startswith(("data ", "code "))]
    both = {one.first for one in hashed} & {one.second for one in hashed}
    for one in found:
        alone = one.first if one.second is None else one.second
        if one not in hashed or alone not in both:
            yield one


def _examples(run: Run) -> Mapping[str, int | None]:
    """In each split: behind the errors of the best trial, or of the first session."""
    best = run.best
    if best is None:
        return run.about.data.examples
    return {split: best.examples.get(split) for split in run.about.data.examples}


def _session(run: Run) -> Session:
    """The one that trained the best trial; without such a trial the last one."""
    sessions = run.about.sessions or (Session(command_line="", started=""),)
    best = run.best
    return sessions[-1 if best is None else min(best.session, len(sessions) - 1)]


def _data(run: Run, session: Session) -> dict[str, str]:
    """The hashes of the data by source, files as paths from the working folder."""
    hashes = session.data or run.about.data_hashes
    return {
        # A function's source has a mark of the rest of its section, which says nothing here.
        relocated_reference(
            name if names_file(name) else name.partition("#")[0], run.path, Path()
        ): digest
        for name, digest in hashes.items()
    }
