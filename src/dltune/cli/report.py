"""`dltune report`: the tables of a run again, and its CSV files afresh."""

from __future__ import annotations

from pathlib import Path

from dltune.cli import options, output
from dltune.errors import RecipeError, RunFolderError


def report(
    run: options.RunPath, runs_dir: options.RunsDir = Path("runs"), as_json: options.Json = False
) -> int:
    """Print the tables of a run again and rewrite its CSV files.

    Example: dltune report runs/digits-mlp-1
    """
    from dltune.cli.found import FINDERS, show_found
    from dltune.cli.show import all_complete, say_diagnose, show_run
    from dltune.runs.rebuild import rebuild_csv
    from dltune.runs.run import find_run, load_run

    path = find_run(run, runs_dir=runs_dir)
    loaded = load_run(path, histories="best")
    if loaded.about.command == "train":  # its curves are shown, also those of one that diverged
        loaded = load_run(path)
    if loaded.about.command in FINDERS:
        return show_found(loaded, as_json=as_json)
    try:
        output.say(*rebuild_csv(path))
        output.say(f"rewritten: {path / 'trials.csv'}, {path / 'history.csv'}")
    except (RunFolderError, RecipeError) as obstacle:
        # The journal has just been read: the study is running, or its recipe has been changed.
        output.say(f"the CSV files were left alone: {obstacle.found}")
    except OSError as refusal:  # a full disk, somebody else's folder: the tables need no writing
        output.say(f"the CSV files were left alone: {refusal.filename or path}: {refusal.strerror}")
    show_run(loaded, as_json=as_json, curves=True)
    if not loaded.is_complete:
        output.say(f"{len(loaded.done)} of {loaded.about.trials} trials are done")
    say_diagnose(loaded)
    return output.FINE if all_complete(loaded) else output.FINDINGS
