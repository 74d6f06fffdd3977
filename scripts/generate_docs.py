"""Write the generated parts of the docs, or check that they are up to date.

    python scripts/generate_docs.py            # write
    python scripts/generate_docs.py --check    # exit 1 and name the files that would change

A generated part stands between `<!-- generated: NAME -->` and `<!-- end generated -->`:
in docs/recipes.md every key with its default and meaning, from the schema; in docs/cli.md every
command's help, from the program.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dltune.recipe.replay import SECTION as REPLAY
from dltune.recipe.schema import Config

DOCS = Path(__file__).parent.parent / "docs"
COMMANDS = ("lr-find", "batch-find", "search", "train", "diagnose", "report", "runs")
WIDTH = 80  # columns of the help texts
FORMULA_SECTIONS = ("optim", "schedule")  # there the meaning of a name is a formula


def section_models(annotation: Any) -> list[type[BaseModel]]:
    """The models that a section may be: one, or one for each `name`."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return section_models(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [model for arm in typing.get_args(annotation) for model in section_models(arm)]
    return [annotation] if isinstance(annotation, type) else []


def key_rows(path: str, model: type[BaseModel]) -> Iterator[str]:
    """One row a key: dotted path, default, meaning."""
    for name, field in model.model_fields.items():
        key = f"{path}.{field.serialization_alias or field.alias or name}"
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from key_rows(key, inner)
        elif name != "name":
            meaning = (field.description or "").replace("|", r"\|")  # a bare one ends the cell
            yield f"| `{key}` | {default_text(field)} | {meaning} |"


def default_text(field: FieldInfo) -> str:
    """A default as one would type it in TOML."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "needed"
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def recipe_reference() -> str:
    """Every section of a recipe as tables, in the schema's order."""
    parts = []
    for section, field in Config.model_fields.items():
        if section == REPLAY:  # whose keys are those of the others
            continue
        parts.append(f"### `[{section}]`: {field.description}\n")
        models = section_models(field.annotation)
        default = field.get_default(call_default_factory=True)
        for model in models:
            name = model.model_fields.get("name")
            if len(models) > 1:
                summary = (model.__doc__ or "").strip().partition("\n")[0]
                if name is not None:
                    mark = " (default)" if type(default) is model else ""
                    parts.append(f'#### `name = "{name.default}"`{mark}\n\n{summary}\n')
                    if section in FORMULA_SECTIONS:
                        parts.append(f"`{name.description}`\n")
                else:
                    parts.append(f"#### with `factory`\n\n{summary}\n")
            rows = list(key_rows(section, model))
            if rows:
                parts.append(
                    "| key | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"
                )
    return "\n".join(parts)


def command_help() -> str:
    """What `--help` prints, for the program and every command."""
    environment = os.environ | {
        "COLUMNS": str(WIDTH),
        "TERMINAL_WIDTH": str(WIDTH),
        "NO_COLOR": "1",
        "TERM": "dumb",
    }
    parts = []
    for command in ("", *COMMANDS):
        arguments = [*command.split(), "--help"]
        done = subprocess.run(
            [sys.executable, "-m", "dltune", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        text = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
        parts.append(f"## `{f'dltune {command}'.strip()}`")
        parts.append(f"```text\n{text.strip()}\n```\n")
    return "\n\n".join(parts)


GENERATED: dict[str, dict[str, Callable[[], str]]] = {
    "recipes.md": {"keys": recipe_reference},
    "cli.md": {"help": command_help},
}


def with_generated(text: str, name: str, body: str) -> str:
    """The page with the part between its markers replaced."""
    pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end generated -->)"
    changed, count = re.subn(
        pattern, lambda found: f"{found[1]}\n{body.strip()}\n\n{found[2]}", text, flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"the page must have exactly one part marked <!-- generated: {name} -->")
    return changed


def main() -> None:
    check = "--check" in sys.argv[1:]
    stale = []
    for page, parts in GENERATED.items():
        path = DOCS / page
        old = new = path.read_text(encoding="utf-8")
        for name, make in parts.items():
            new = with_generated(new, name, make())
        if new != old:
            stale.append(page)
            if not check:
                path.write_text(new, encoding="utf-8")
    if check and stale:
        raise SystemExit(
            f"docs/ is out of date in {', '.join(stale)}: run python scripts/generate_docs.py"
        )
    print("docs: " + ("nothing to change" if not stale else f"wrote {', '.join(stale)}"))


if __name__ == "__main__":
    main()
