"""The pages: one a command; every link leads somewhere, every recipe and command is valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from dltune.cli.main import app
from dltune.errors import RecipeError
from dltune.recipe.files import parse_recipe
from tests.docs.consoles import parse, shown_in
from tests.docs.pages import DOCS, LINK, PAGES, Block, anchors_of, blocks_of, prose_of

COMMANDS = [command for command in app.registered_commands if command.name]
UsageError = typer.BadParameter.__mro__[1]  # the parent of every mistake in typing
NAMES = [str(command.name) for command in COMMANDS]


# A rule over every page is one test; what it finds are the offenders, each with its place.


def blocks(language: str) -> dict[str, Block]:
    """The blocks of all pages, by page and line."""
    return {
        f"{path.name}:{block.line}": block
        for path in PAGES
        for block in blocks_of(path.read_text(encoding="utf-8"))
        if block.language == language
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_page(name: str) -> None:
    first = (DOCS / f"{name}.md").read_text(encoding="utf-8").partition("\n")[0]
    assert first.startswith(f"# `dltune {name}`: ")


@pytest.mark.parametrize("name", NAMES)
def test_every_page_of_a_command_tells_exit_codes_and_json(name: str) -> None:
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert re.search(r"exit codes?", text, flags=re.IGNORECASE)
    assert "--json" in text


def test_the_index_has_every_page_once() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = sorted(path.name for path in DOCS.glob("*.md") if path.name != "index.md")
    assert sorted(LINK.findall(index)) == pages


def test_relative_links_lead_somewhere() -> None:
    broken = []
    for path in PAGES:
        for target in LINK.findall(prose_of(path.read_text(encoding="utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue  # elsewhere
            name, _, anchor = target.partition("#")
            page = path.parent / name if name else path
            if not page.exists() or (
                anchor and anchor not in anchors_of(page.read_text(encoding="utf-8"))
            ):
                broken.append(f"{path.name}: {target}")
    assert broken == []


def test_recipes_in_pages_are_valid() -> None:
    """Whole ones as they stand, parts of one with the data they leave out."""
    invalid = []
    for place, block in blocks("toml").items():
        is_whole = re.search(r"^\[data\]\nsource = ", block.body, flags=re.MULTILINE)
        text = block.body if is_whole else f'data.source = "sklearn:digits"\n{block.body}'
        try:
            recipe = parse_recipe(text, folder=Path())
            recipe.config(recipe.space.from_unit([0.5] * len(recipe.space)))
        except RecipeError as mistake:
            invalid.append(f"{place}: {mistake}")
    assert invalid == []


def test_commands_in_pages_can_be_typed() -> None:
    wrong = []
    for place, block in blocks("console").items():
        for shown in shown_in(block):
            if shown.code == 2:  # a mistake that is shown as one
                continue
            try:
                parse(shown.line)
            except UsageError as mistake:
                wrong.append(f"{place}: {shown.line}: {mistake}")
    assert wrong == []


def test_commands_that_cannot_be_typed_are_found() -> None:
    with pytest.raises(UsageError, match="--trails"):
        parse("dltune search recipes/digits-mlp.toml --trails 3")


def test_no_line_is_a_path_of_some_machine() -> None:
    found = [
        f"{path.name}: {place}"
        for path in PAGES
        for place in re.findall(
            r"(?:/home|/tmp|/root|/Users)/\S+", path.read_text(encoding="utf-8")
        )
    ]
    assert found == []
