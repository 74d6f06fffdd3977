"""Kill searches at random moments, go on with --resume, and count what was lost.

    python benchmarks/reliability/kills.py                 # all kinds; half an hour
    python benchmarks/reliability/kills.py --kills 12      # a look

A study of every strategy and model runs once without being disturbed: what it finds is what all
others must find. Then studies are started, killed and gone on with until they are complete. Of each
kill is counted, and printed by its kind:

tried      studies hit while they ran; one that had ended before counts nothing.
lost       trials that the run folder had before a resume, and has no longer or otherwise after it.
repeated   trials that it had and that were trained again all the same.
changed    trials of a complete study with another result than in the undisturbed one.
hung       commands that did not end within their time after a signal, or in a resume.
orphans    processes that lived on `ORPHAN_SECONDS` after their coordinator.
dead ends  folders with which neither --resume nor a new start under the same name went on.
left       temporary files of dltune's that lay there when all was over. (Python itself leaves a
           folder with a socket, pymp-..., after a SIGKILL.)
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dltune.errors import DltuneError
from dltune.runs.run import load_run
from dltune.training.history import TrialRecord

MODELS = Path(__file__).with_name("models.py")
ROOT = Path(__file__).parents[2]

TRIALS = 12
STRATEGIES = {
    "random": ("--strategy", "random", "--trials", str(TRIALS)),
    "grid": ("--strategy", "grid"),
    "evolution": ("--strategy", "evolution", "--population", "4", "--trials", str(TRIALS)),
}
ODDITIES = ("", "sleeps", "holds", "loads", "threads", "swallows", "raises", "exits")
RECIPE = """\
[data]
source = "sklearn:wine"
[model]
{model}
[optim]
lr = {{ log = [1e-3, 1e-1], points = 4 }}
[train]
epochs = {epochs}
batch_size = 32
device = "cpu"
"""
BUILT_IN = 'name = "mlp"\nhidden = [8]\ndropout = {{ choice = [0.0, 0.2, 0.4] }}'
OWN = 'factory = "models.py:build"\nodd = "{odd}"\nwidth = {{ choice = [8, 9, 10] }}'

SIGNAL_SECONDS = 20.0  # until a command has ended after a signal that it may answer
RUN_SECONDS = 300.0  # until a study that nobody disturbs is complete
HIT_WITHIN = 0.7  # of the time of an undisturbed study: later, one that goes on may have ended
ORPHAN_SECONDS = 2.0
LOADER_SECONDS = 8.0  # torch's loaders look every 5 s whether their parent is there


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of kill.

    signal    what is sent.
    to        "coordinator", "group" (every process of the session), or "worker" (one of the
              others).
    """

    signal: signal.Signals
    to: str

    def __str__(self) -> str:
        return f"{self.signal.name} to {self.to}"


KINDS = [
    *(Kind(signal.SIGKILL, to) for to in ("coordinator", "group", "worker")),
    *(Kind(one, "group") for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)),
    *(Kind(one, "coordinator") for one in (signal.SIGINT, signal.SIGTERM)),
]


@dataclasses.dataclass
class Count:
    """What came of the kills of one kind."""

    tried: int = 0
    lost: int = 0
    repeated: int = 0
    changed: int = 0
    hung: int = 0
    orphans: int = 0
    dead_ends: int = 0
    left: int = 0

    @property
    def faults(self) -> int:
        return sum(dataclasses.astuple(self)) - self.tried


@dataclasses.dataclass(frozen=True)
class Study:
    """What is searched, and what an undisturbed search finds.

    whole    the trials of that one.
    seconds  that it takes.
    """

    folder: Path
    strategy: str
    odd: str
    workers: str
    whole: tuple[TrialRecord, ...] = ()
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.strategy}, {self.odd or 'built-in'}, {self.workers} workers"

    def command(self, run: str, *, resume: bool) -> list[str]:
        how = ["--name", run, "--workers", self.workers]
        if self.odd == "exits":
            how += ["--stack", "off"]
        what = ["--resume"] if resume else ["recipe.toml", *STRATEGIES[self.strategy]]
        return [sys.executable, "-m", "dltune", "search", *what, *how]


def outcome(trial: TrialRecord) -> tuple[object, ...]:
    """What must be the same in every study.

    The dev error is a share of 36 examples: a stack and a loop may differ in a loss's last digits.
    """
    return (trial.number, trial.state, trial.seed, dict(trial.values), trial.objective)


class Studies:
    """Makes undisturbed studies, one for each strategy and model, with two workers."""

    def __init__(self, root: Path) -> None:
        self._root, self._known = root, dict[tuple[str, str], Study]()

    def get(self, strategy: str, odd: str, workers: str) -> Study:
        """The study, to be done with so many workers: what it finds depends on none of them."""
        key = (strategy, odd)
        if key not in self._known:
            folder = self._root / "-".join([strategy, odd or "built-in"])
            folder.mkdir(parents=True)
            (folder / "temporary").mkdir()
            shutil.copy(MODELS, folder)
            model = (OWN if odd else BUILT_IN).format(odd=odd)
            text = RECIPE.format(model=model, epochs=4 if odd else 300)
            (folder / "recipe.toml").write_text(text)
            study = Study(folder, strategy, odd, "2")
            started = time.monotonic()
            process = start(study, "whole", resume=False)
            code = process.wait(RUN_SECONDS)
            if code not in (0, 1) or not (folder / "runs").exists():
                raise RuntimeError(f"{study.name}: ended with {code}: {said(study)}")
            whole = load_run(folder / "runs" / "whole", histories="none").done
            if len(whole) < TRIALS:
                raise RuntimeError(f"{study.name}: {len(whole)} of {TRIALS} trials: {said(study)}")
            seconds = time.monotonic() - started
            self._known[key] = dataclasses.replace(study, whole=whole, seconds=seconds)
        return dataclasses.replace(self._known[key], workers=workers)


def start(study: Study, run: str, *, resume: bool) -> subprocess.Popen[bytes]:
    """Start or go on with a search, in a session of its own."""
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {
        "PYTHONPATH": path,
        "TMPDIR": str(study.folder / "temporary"),
    }

    def as_a_terminal_does() -> None:  # a shell in the background, or nohup, switches some off
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    with (study.folder / "said").open("ab") as said:
        return subprocess.Popen(
            study.command(run, resume=resume),
            cwd=study.folder,
            env=environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
            preexec_fn=as_a_terminal_does,
        )


def said(study: Study) -> str:
    """The last lines that the commands of a study have written."""
    return "\n".join((study.folder / "said").read_text(errors="replace").splitlines()[-12:])


def members(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = status.read_text().rpartition(")")
        except OSError:
            continue
        state, _, _, of_session = rest.split()[:4]
        if int(of_session) == session and state != "Z":
            found.append(int(status.parent.name))
    return found


def done_in(study: Study, run: str) -> dict[int, TrialRecord]:
    """The trials of a run that are done; none where there is no run yet."""
    try:
        return {one.number: one for one in load_run(study.folder / "runs" / run).done}
    except DltuneError:
        return {}


def strike(study: Study, process: subprocess.Popen[bytes], kind: Kind, count: Count) -> bool:
    """Send the signal; whether the search was running then."""
    session = process.pid
    if process.poll() is not None:
        return False
    if kind.to == "worker":
        others = [one for one in members(session) if one != session]
        if not others:
            return False
        send(random.choice(others), kind.signal)
    elif kind.to == "group":
        for one in members(session):
            send(one, kind.signal)
    else:
        send(session, kind.signal)
    count.tried += 1
    if kind.to == "worker":
        return True  # the search goes on by itself
    try:
        process.wait(SIGNAL_SECONDS)
    except subprocess.TimeoutExpired:
        count.hung += 1
        print(f"hung after {kind} ({study.name}): {said(study)}", file=sys.stderr)
        process.kill()
        process.wait()
    patience = LOADER_SECONDS if study.odd == "loads" else ORPHAN_SECONDS
    deadline = time.monotonic() + patience
    while members(session) and time.monotonic() < deadline:
        time.sleep(0.01)
    for orphan in members(session):
        count.orphans += 1
        print(f"orphan after {kind} ({study.name})", file=sys.stderr)
        send(orphan, signal.SIGKILL)
    return True


def send(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


def go_on(study: Study, run: str) -> subprocess.Popen[bytes]:
    """Resume, or start anew under the name where there is nothing to resume."""
    return start(study, run, resume=(study.folder / "runs" / run / "study.journal").exists())


def hit(
    study: Study, run: str, kinds: Sequence[Kind], counts: dict[Kind, Count], chance: random.Random
) -> None:
    """One study, killed once by each of these kinds and gone on with to its end."""
    process, known = start(study, run, resume=False), dict[int, TrialRecord]()
    struck: Kind = kinds[0]
    for kind in kinds:
        time.sleep(chance.uniform(0.0, HIT_WITHIN * study.seconds))
        if not strike(study, process, kind, counts[kind]):
            break
        struck = kind
        if kind.to == "worker":
            continue
        known = compare(study, run, known, counts[kind])
        process = go_on(study, run)
    try:
        code = process.wait(RUN_SECONDS)
    except subprocess.TimeoutExpired:
        counts[struck].hung += 1
        print(f"hung in the end ({study.name}): {said(study)}", file=sys.stderr)
        for one in members(process.pid):
            send(one, signal.SIGKILL)
        process.wait()
        return
    if code not in (0, 1):
        counts[struck].dead_ends += 1
        print(f"dead end after {struck} ({study.name}), {code}: {said(study)}", file=sys.stderr)
        return
    after = compare(study, run, known, counts[struck])
    expected = {one.number: outcome(one) for one in study.whole}
    changed = [n for n in expected if n not in after or outcome(after[n]) != expected[n]]
    counts[struck].changed += len(changed)
    for number in changed:
        print(f"changed after {struck} ({study.name}): {after.get(number)}", file=sys.stderr)
    left = [*(study.folder / "temporary").glob("dltune*"), *(study.folder / "runs").glob(".*")]
    counts[struck].left += len(left)
    if left:
        print(f"left after {struck} ({study.name}): {left}", file=sys.stderr)


def compare(
    study: Study, run: str, before: dict[int, TrialRecord], count: Count
) -> dict[int, TrialRecord]:
    """Count what was lost or repeated since before; the trials that are done now."""
    after = done_in(study, run)
    for number, trial in before.items():
        if number not in after:
            count.lost += 1
        elif after[number].session != trial.session:
            count.repeated += 1
        elif after[number] != trial and repr(after[number]) != repr(trial):
            count.lost += 1
    return after


def rounds(seed: int, odd: Sequence[str]) -> Iterator[tuple[str, str, str, list[Kind]]]:
    """Strategy, model, workers and three kinds of kill in turn, for ever."""
    chance = random.Random(seed)
    for number in itertools.count():
        kinds = [KINDS[(number + step) % len(KINDS)] for step in (0, 3, 5)]
        yield (
            list(STRATEGIES)[number % len(STRATEGIES)],
            odd[number % len(odd)],
            chance.choice(["1", "2", "2"]),
            kinds,
        )


def run(
    kills: int, *, seed: int = 0, odd: Sequence[str] = ODDITIES, root: Path | None = None
) -> dict[Kind, Count]:
    """Kill until so many have struck; what came of it, by kind."""
    counts: dict[Kind, Count] = collections.defaultdict(Count)
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        studies = Studies(Path(folder))
        for number, (strategy, oddity, workers, kinds) in enumerate(rounds(seed, odd)):
            if sum(count.tried for count in counts.values()) >= kills:
                break
            study = studies.get(strategy, oddity, workers)
            hit(study, f"run-{number}", kinds, counts, chance)
    return {kind: counts[kind] for kind in KINDS if kind in counts}


def table(counts: dict[Kind, Count]) -> str:
    """The counts by kind, and their sums."""
    names = [field.name for field in dataclasses.fields(Count)]
    rows = [(str(kind), *dataclasses.astuple(count)) for kind, count in counts.items()]
    sums = [sum(row[place + 1] for row in rows) for place in range(len(names))]
    lines = [["", *(name.replace("_", " ") for name in names)]]
    lines += [list(map(str, row)) for row in [*rows, ("all", *sums)]]
    widths = [max(len(line[place]) for line in lines) for place in range(len(names) + 1)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def main(arguments: Sequence[str] | None = None, say: Callable[[str], None] = print) -> int:
    """Run and print; 1 if anything was lost, repeated, changed, hung, orphaned or left."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the combinations")
    parser.add_argument("--json", type=Path, help="also write the counts there")
    given = parser.parse_args(arguments)
    counts = run(given.kills, seed=given.seed)
    say(table(counts))
    if given.json:
        found = {str(kind): dataclasses.asdict(count) for kind, count in counts.items()}
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    return int(any(count.faults for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
