"""What is said before a search begins."""

from __future__ import annotations

from dltune.data.dataset import Dataset
from dltune.recipe.validation import probes
from dltune.runs.about import Session
from dltune.runs.folder import RunFolder
from dltune.search.request import Asked
from dltune.training.schedules import peak_notes


def start_notes(folder: RunFolder, asked: Asked, dataset: Dataset | None) -> list[str]:
    """A line each about what has changed since before, what plays no part, the data, and who is
    pruned.

    dataset  None where nothing will be trained, or no data can be loaded.
    """
    notes = [*_changes(folder.session), *_seed_note(folder), *folder.notes]
    if dataset is not None:
        ends = [folder.recipe.config(point) for point in probes(folder.recipe.space)]
        notes += [*dataset.notes, *peak_notes(ends, examples=len(dataset.train))]
        is_over = len(folder.trials) >= asked.total
        notes += _pruning_note(asked, max(one.train.epochs for one in ends), is_over=is_over)
    return notes


def _pruning_note(asked: Asked, epochs: int, *, is_over: bool) -> list[str]:
    """A line about pruning, which is the default where many are compared.

    epochs   of the longest training.
    is_over  whether nobody is looked at any more.
    """
    if asked.pruner is None or is_over:
        return []
    brackets = asked.pruner.brackets(range(asked.total), epochs)
    rungs = sorted({rung for one in brackets for rung in one.rungs})
    shown = [str(rung) for rung in rungs]
    many = len(shown) > 3
    listed = f"{shown[0]}, {shown[1]}, ..., {shown[-1]}" if many else " and ".join(shown)
    word = "epoch" if len(shown) == 1 else "epochs"
    which = "bad starts" if asked.prune == "bad-start" else "the worse"
    looks = f"{asked.prune} ends {which} after {word} {listed} of {epochs}"
    return [f"{looks}; --prune none ends nobody"]


def _changes(session: Session) -> list[str]:
    """A line about what has changed since the session before."""
    if session.mended:
        return [f"{'; '.join(session.mended)}, and no trial is complete: all are trained again"]
    return [f"going on though {'; '.join(session.accepted)}"] if session.accepted else []


def _seed_note(folder: RunFolder) -> list[str]:
    """A line about a seed in the recipe, which a search does not use."""
    seed = folder.recipe.table.get("train", {}).get("seed")
    if seed is None:
        return []
    of_study = f"--seed {folder.about.seed} and its number"
    return [f"train.seed = {seed} plays no part in a search: a trial's seed is made of {of_study}"]
