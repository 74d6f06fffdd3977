"""The options that several commands take, each said once.

A command writes `seed: options.Seed = None`; words, metavar and completion come with it.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dltune.cli.status import StatusLine
from dltune.errors import UsageError, closest

if TYPE_CHECKING:  # the schema imports pydantic, which help and completion must not wait for
    from dltune.recipe.recipe import Recipe

RecipePath = Annotated[
    Path, typer.Argument(metavar="RECIPE", show_default=False, help="The recipe, a TOML file.")
]
RunPath = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", show_default=False, help="The run folder, for example runs/digits."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        show_default=False,
        help="Replace a value of the recipe, as in --set optim.lr=3e-4. Repeatable.",
    ),
]
SpaceEdit = Annotated[
    list[str] | None,
    typer.Option(
        "--space",
        metavar="KEY=RANGE",
        show_default=False,
        help="Make a value a range, as in --space optim.lr=log:1e-5:1e-1. Repeatable.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        show_default=False,
        autocompletion=lambda incomplete: _starting(incomplete, ["auto", "cpu", "cuda", "mps"]),
        help="Where to compute: auto, cpu, cuda or mps.  [default: the recipe's]",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        min=0,
        show_default=False,
        help="Of weights, data order and dropout.  [default: train.seed of the recipe]",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object instead.")]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        show_default=False,
        help="Name of the run folder.  [default: the recipe's, numbered]",
    ),
]
ResultName = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        show_default=False,
        help="Keep the result in a run folder of this name.  [default: no folder]",
    ),
]
AcceptChanges = Annotated[
    bool,
    typer.Option(
        "--accept-changes", help="With --resume: go on though data, code or torch have changed."
    ),
]
Note = Annotated[
    str,
    typer.Option(
        "--note", metavar="TEXT", show_default=False, help="A line of yours, kept with the run."
    ),
]
RunsDir = Annotated[
    Path, typer.Option("--runs-dir", metavar="DIR", help="Folder of the run folders.")
]
Workers = Annotated[
    str,
    typer.Option(
        "--workers",
        metavar="N|auto",
        autocompletion=lambda incomplete: _starting(incomplete, ["auto"]),
        help="Processes that train: auto is one for each core, or each GPU.",
    ),
]
Stack = Annotated[
    str,
    typer.Option(
        "--stack",
        metavar="auto|off|N",
        autocompletion=lambda incomplete: _starting(incomplete, ["auto", "off"]),
        help="Trials trained at once in a process: as measured, one, or at most N.",
    ),
]
TrialTimeout = Annotated[
    float | None,
    typer.Option(
        "--trial-timeout",
        metavar="SECONDS",
        show_default=False,
        help="A trial that trains longer has failed.  [default: no limit]",
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Say how the trials are trained, and why so.")
]


def _starting(incomplete: str, words: Sequence[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def word_or_count(option: str, typed: str, *, words: Sequence[str], of: str) -> str | int:
    """What was typed for an option that takes a word or a number.

    of  what the number counts.

    Raises UsageError for anything else.

    >>> word_or_count("--stack", "off", words=["auto", "off"], of="trials")
    'off'
    >>> word_or_count("--stack", "32", words=["auto", "off"], of="trials")
    32
    """
    if typed in words:
        return typed
    if typed.isascii() and typed.isdigit() and int(typed) >= 1:
        return int(typed)
    near = closest(typed, words)
    raise UsageError(
        f"{option} {typed}: must be {', '.join(words)} or a number of {of}, 1 or more",
        hint=f"Did you mean {option} {near}?" if near else f"Try {option} {words[0]}.",
    )


def read_recipe(
    path: Path,
    overrides: Sequence[str] | None,
    spaces: Sequence[str] | None,
    *,
    device: str | None = None,
    seed: int | None = None,
) -> Recipe:
    """The recipe with the edits of the command line; `--device` and `--seed` are edits too.

    Raises RecipeError if the file is missing or not valid, or an edit does not fit it.
    """
    edits = edits_of(overrides, device=device, seed=seed)
    with StatusLine("reading the recipe"):
        from dltune.recipe.files import load_recipe  # it takes half a second

        return load_recipe(path, overrides=edits, spaces=list(spaces or []))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Typed:
    """What was typed to change a recipe: it belongs into the next command, too.

    recipe  its path.
    more    other options that only the same command takes again, each with its value.
    """

    recipe: Path
    overrides: Sequence[str] = ()
    spaces: Sequence[str] = ()
    device: str | None = None
    seed: int | None = None
    more: Sequence[tuple[str, ...]] = ()

    def text(self, *, without: Collection[str] = (), seed: bool = True) -> str:
        """The recipe and its edits, quoted for a shell.

        without  keys that the next command sets itself, or that stand in the recipe by now.
        seed     whether its `--seed` is that of a training; that of a search is another.

        >>> typed = Typed(recipe=Path("a.toml"), overrides=["optim.lr=1", "model.hidden=[4, 4]"],
        ...               device="cpu", more=[("--no-validate",), ("--steps", "80")])
        >>> print(typed.text(without=["optim.lr"]))
        a.toml --set 'model.hidden=[4, 4]' --device cpu
        """
        words = [str(self.recipe)]
        for option, edits in (("--set", self.overrides), ("--space", self.spaces)):
            for edit in edits:
                if edit.partition("=")[0].strip() not in without:
                    words += [option, edit]
        words += ["--device", self.device] if self.device is not None else []
        words += ["--seed", str(self.seed)] if seed and self.seed is not None else []
        return shlex.join(words)

    def again(self, added: str, *, without: Collection[str] = ()) -> str:
        """The recipe, its edits and all options, for the same command with some that are added.

        added  as typed; what they say anew is not said twice.

        >>> typed = Typed(recipe=Path("a.toml"), more=[("--no-validate",), ("--steps", "80")])
        >>> print(typed.again("--apply lr"))
        a.toml --no-validate --steps 80 --apply lr
        >>> print(typed.again("--validate"))
        a.toml --steps 80 --validate
        """
        new = {word for word in added.split() if word.startswith("--")}
        new |= {word.replace("--", "--no-", 1) for word in new}
        kept = [shlex.join(option) for option in self.more if option[0] not in new]
        return " ".join([self.text(without=without), *kept, added])


def typed_options(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Options that are not at their default, as they are typed.

    >>> typed_options({"seeds": 2, "min_lr": 1e-4, "validate": False},
    ...               {"seeds": 5, "min_lr": None, "validate": None})
    [('--seeds', '2'), ('--min-lr', '0.0001'), ('--no-validate',)]
    """
    words: list[tuple[str, ...]] = []
    for name, value in given.items():
        option = name.replace("_", "-")
        if value == defaults[name]:
            continue
        if isinstance(value, bool):
            words.append((f"--{option}" if value else f"--no-{option}",))
        else:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            words.append((f"--{option}", text))
    return words


def edits_of(overrides: Sequence[str] | None, *, device: str | None, seed: int | None) -> list[str]:
    """The edits of the command line as overrides, those of `--device` and `--seed` among them.

    >>> edits_of(["optim.lr=1"], device="cpu", seed=None)
    ['optim.lr=1', 'train.device=cpu']
    """
    edits = list(overrides or [])
    edits += [f"train.device={device}"] if device is not None else []
    edits += [f"train.seed={seed}"] if seed is not None else []
    return edits
