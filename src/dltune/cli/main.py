"""The command line: the commands, and what becomes of a mistake.

Help and completion must answer at once, so nothing here, nor at the top of a command's module,
imports more than typer. For the same reason help is plain text: drawn by rich it takes twice the
time (0.16 s against 0.07 s) and frames the examples, which then cannot be copied in one piece.
"""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dltune import __version__
from dltune.cli import output
from dltune.cli.batch_find import batch_find
from dltune.cli.diagnose import diagnose
from dltune.cli.lr_find import lr_find
from dltune.cli.report import report
from dltune.cli.runs import runs
from dltune.cli.search import search
from dltune.cli.status import drop_streams
from dltune.cli.train import train
from dltune.errors import DltuneError, first_line, ran_out_of_memory
from dltune.search.interrupts import Interruption

# click's UsageError. Newer typer carries its own copy of click, so that the class can only be
# reached through its public descendant.
_UsageError: Any = typer.BadParameter.__mro__[1]


MAKE_ROOM = (
    "End other programs that hold memory, or ask for less: fewer --workers, a smaller "
    "train.batch_size or model, less data."
)


class _Commands(TyperGroup):
    """The commands, and what ends them from outside.

    Ctrl-C outside the parts that handle it themselves ends in one calm line, a pipe that nobody
    reads any more (`2>&1 | head`) without a word.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as end:
            output.say("interrupted")
            return end.exit_code if isinstance(end, Interruption) else output.INTERRUPTED
        except BrokenPipeError:  # click would end the process with 1, as if trials had failed
            drop_streams()
            return output.PIPE_CLOSED


app = typer.Typer(
    name="dltune",
    cls=_Commands,
    help="Find the learning rate, search the rest, and learn why a model errs.",
    epilog="Start with: dltune search recipes/digits-mlp.toml --trials 20",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("lr-find", short_help="Find a learning rate by short trainings.")(lr_find)
app.command("batch-find", short_help="Find a batch size, and its learning rate.")(batch_find)
app.command("train", short_help="Train one config and keep its weights.")(train)
app.command("search")(search)
app.command("diagnose", short_help="Say whether the error is bias or variance.")(diagnose)
app.command("report")(report)
app.command("runs", short_help="List the runs of a folder, or compare two.")(runs)


def _print_version(wanted: bool) -> None:
    if wanted:
        output.write_result(f"dltune {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    arguments  as typed after `dltune`; the process's own without it. None at all show the help.

    Exit codes: 0 fine, 1 finished with failed trials or findings, 2 a mistake the user can mend
    (two lines on stderr say what and how), 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by
    SIGHUP, 141 where the reader of a stream has gone. What the system refuses, such as to write on
    a full disk, counts as a mistake the user can mend, and so does memory that runs out. An
    exception of any other kind is a fault of dltune and keeps its traceback.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    # To look for garbage among all that was imported takes a tenth of a second, and at the end of
    # the process it is for nothing.
    atexit.register(gc.freeze)
    output.prepare_streams()
    try:
        code = app(list(arguments) or ["--help"], prog_name="dltune", standalone_mode=False)
    except DltuneError as mistake:
        output.say(f"error: {mistake}")
        return output.USER_MISTAKE
    except _UsageError as mistake:
        command = mistake.ctx.command_path if mistake.ctx else "dltune"
        message = mistake.format_message().rstrip(".")
        message += "" if message.endswith("?") else "."
        output.say(f"error: {message}", f"Type {command} --help for what it takes.")
        return output.USER_MISTAKE
    except OSError as refusal:
        if ran_out_of_memory(refusal):
            return _say_out_of_memory(refusal)
        if refusal.strerror is None:  # not from the system, but from a library
            raise
        drop_streams()
        output.say(*_refused(refusal))
        return output.USER_MISTAKE
    except typer.Abort:
        return output.INTERRUPTED
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        return _say_out_of_memory(error)
    return code if isinstance(code, int) else output.FINE


def _say_out_of_memory(error: BaseException) -> int:
    drop_streams()
    output.say(f"error: out of memory: {first_line(error)}", MAKE_ROOM)
    return output.USER_MISTAKE


def _refused(refusal: OSError) -> list[str]:
    """What the system refused, and what to do about it."""
    place = f"{os.fsdecode(refusal.filename)}: " if refusal.filename is not None else ""
    hints = {
        errno.ENOSPC: "Make room on the disk; a search then goes on with --resume.",
        errno.EDQUOT: "Make room in your quota; a search then goes on with --resume.",
        errno.ENAMETOOLONG: "Choose a shorter name.",
    }
    otherwise = "Check the path and its permissions; --runs-dir puts run folders elsewhere."
    return [
        f"error: {place}the system says: {refusal.strerror}",
        hints.get(refusal.errno or 0, otherwise),
    ]
