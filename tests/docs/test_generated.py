"""The generated parts are up to date, and `scripts/generate_docs.py` makes them right."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from dltune.cli.main import app
from tests.scripts.loading import load_script

PAGE = "# Title\n<!-- generated: keys -->\nold\n<!-- end generated -->\nrest\n"


@pytest.fixture
def script() -> ModuleType:
    return load_script("generate_docs")


def test_the_docs_are_up_to_date(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["generate_docs.py", "--check"])
    script.main()
    assert capsys.readouterr().out == "docs: nothing to change\n"


def test_a_page_that_is_out_of_date_is_named_then_written(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = tmp_path / "recipes.md"
    page.write_text(PAGE)
    monkeypatch.setattr(script, "DOCS", tmp_path)
    monkeypatch.setattr(script, "GENERATED", {"recipes.md": {"keys": script.recipe_reference}})
    monkeypatch.setattr("sys.argv", ["generate_docs.py", "--check"])
    with pytest.raises(SystemExit, match=r"docs/ is out of date in recipes\.md: run python"):
        script.main()
    assert page.read_text() == PAGE  # --check writes nothing

    monkeypatch.setattr("sys.argv", ["generate_docs.py"])
    script.main()
    assert capsys.readouterr().out == "docs: wrote recipes.md\n"
    assert page.read_text().startswith("# Title\n<!-- generated: keys -->\n\n### `[data]`")
    assert page.read_text().endswith("\n\n<!-- end generated -->\nrest\n")
    script.main()
    assert capsys.readouterr().out == "docs: nothing to change\n"


def test_a_page_without_its_markers(script: ModuleType) -> None:
    with pytest.raises(SystemExit, match="exactly one part marked <!-- generated: keys -->"):
        script.with_generated("# Title\n", "keys", "new")


def test_every_key_has_its_row(script: ModuleType) -> None:
    text = script.recipe_reference()
    assert "| `optim.betas` | `[0.9, 0.999]` | shares of the last mean and mean square" in text
    assert "| `data.split.train-dev` | `0.0` |" in text
    assert "| `data.source` | needed |" in text
    assert '#### `name = "adam"` (default)' in text
    for row in (line for line in text.splitlines() if line.startswith("| `")):
        cells = row.replace(r"\|", "").split("|")
        assert len(cells) == 5, row
        assert cells[3].strip() not in ("", "None"), row


def test_every_command_has_its_help(script: ModuleType) -> None:
    assert set(script.COMMANDS) == {command.name for command in app.registered_commands}
    text = script.command_help()
    for name in script.COMMANDS:
        assert f"## `dltune {name}`\n\n```text\nUsage: dltune {name} " in text
    assert max(map(len, text.splitlines())) <= script.WIDTH
