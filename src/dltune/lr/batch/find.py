"""`find_batch_size`: from a config to the batch sizes that fit, data and climb included."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from dltune.errors import DltuneError, ModelError, TrainingError
from dltune.lr.batch.climb import Climb
from dltune.lr.batch.memory import default_limit
from dltune.lr.batch.sizes import BatchSizes, ClimbEnd
from dltune.lr.find import Loaded, load
from dltune.lr.sweep import untouched_random_states
from dltune.recipe.schema import Config, FactoryConfig
from dltune.training.batches import batch_examples
from dltune.training.memory import keep_freed_memory

SMALLEST_BATCH = 8


def find_batch_size(
    config: Config,
    *,
    folder: Path,
    smallest: int = SMALLEST_BATCH,
    largest: int | None = None,
    memory_bytes: int | None = None,
    loaded: Loaded | None = None,
    watch: Callable[[int], None] | None = None,
) -> BatchSizes:
    """Time and weigh an update of a config's model at batches that double until no more fit.

    config        every value fixed; `train.accumulate` holds, its batch size is one of those tried.
    folder        what relative paths in it start from.
    smallest      batch to begin with, 1 or more.
    largest       to end with; by default, and at most, the whole train split.
    memory_bytes  that an update may take; by default a quarter of what is free on the CPU, where it
                  is a count, and elsewhere as much as there is.
    loaded        the config's data, where they are there already.
    watch         called with the batch that is tried next.

    Real updates, at a learning rate of 0, so that no rate can blow up what is timed. A batch whose
    predicted bytes exceed the limit is not tried; between the last that fits and the first that
    does not, up to two more are. Changes nothing: random states are afterwards as before.

    Raises TrainingError if the sizes do not fit the train split; DataError, ModelError and
    TrainingError as a training does.

    >>> from dltune.recipe.files import parse_recipe
    >>> text = '''
    ... data.source = "sklearn:iris"
    ... train.device = "cpu"
    ... '''
    >>> found = find_batch_size(parse_recipe(text, folder=".").config(), folder=Path("."))
    >>> [row.batch for row in found.rows], found.end.value
    ([8, 16, 32, 64, 90], 'train-split')
    """
    keep_freed_memory()
    with untouched_random_states(), _named_failures(config):
        there = loaded or load(config, folder=folder)
        data = there.data
        own = batch_examples(config.train, len(data.train))
        sizes = candidate_sizes(smallest, largest, examples=len(data.train), own=own)
        limit = default_limit(data.device) if memory_bytes is None else memory_bytes
        climb = Climb(config, data=data, folder=folder, limit_bytes=limit, watch=watch)
        climb.run(sizes)
    whole = sizes[-1] == len(data.train)
    return BatchSizes(
        rows=tuple(climb.rows),
        end=climb.end or (ClimbEnd.TRAIN_SPLIT if whole else ClimbEnd.MAX_BATCH),
        refused=climb.refused,
        refused_bytes=climb.refused_bytes,
        limit_bytes=limit,
        limit_given=memory_bytes is not None,
        counted=data.device.type == "cpu",
        device=data.device.type,
        train_examples=len(data.train),
        own=own,
        accumulate=config.train.accumulate,
        notes=there.notes,
    )


def candidate_sizes(smallest: int, largest: int | None, *, examples: int, own: int) -> list[int]:
    """The batches to try: doubling, the largest and the recipe's own included.

    smallest, largest  first and last; None, or more than there are, is the train split.
    examples           in the train split.
    own                the recipe's batch size; left out where it lies outside.

    Raises TrainingError unless 1 <= smallest <= largest and smallest <= examples.

    >>> candidate_sizes(8, None, examples=100, own=50)
    [8, 16, 32, 50, 64, 100]
    """
    if smallest > examples:
        raise TrainingError(
            f"--min-batch {smallest}: the train split has {examples:,} examples, "
            "and a batch has no more",
            hint=f"Try --min-batch {min(SMALLEST_BATCH, examples)}.",
        )
    last = examples if largest is None else min(largest, examples)
    if not 1 <= smallest <= last:
        raise TrainingError(
            f"--min-batch {smallest} --max-batch {last}: 1 <= smallest <= largest must hold",
            hint=f"Try --min-batch {max(1, last // SMALLEST_BATCH)}.",
        )
    doubling = itertools.takewhile(
        lambda size: size < last, (smallest * 2**power for power in itertools.count())
    )
    return sorted({*doubling, last, *([own] if smallest <= own <= last else [])})


@contextlib.contextmanager
def _named_failures(config: Config) -> Iterator[None]:
    """What a user's own model raises becomes an error that says where."""
    try:
        yield
    except DltuneError:
        raise
    except Exception as error:
        if not isinstance(config.model, FactoryConfig):
            raise
        first_line = str(error).partition("\n")[0]
        raise ModelError(
            f"the model of {config.model.factory!r} raised {type(error).__name__} "
            f"at a batch that was tried: {first_line}"
        ) from error
