"""How many examples would settle what a sample leaves open."""

from __future__ import annotations

from dltune.diagnosis.components import Component, Errors, compared, errors_size
from dltune.diagnosis.intervals import examples_needed, newcombe, wilson


def examples_to_settle(
    component: Component, errors: Errors, *, confidence: float
) -> tuple[str, int | None]:
    """The split that is too small for a component, and the size at which its interval leaves 0.

    The errors and the sizes of the other splits stay as they are. None instead of a size if no size
    of this split alone suffices.

    >>> errors = Errors(train=0.10, dev=0.14, n_train=1000, n_dev=100)
    >>> from dltune.diagnosis.components import components
    >>> examples_to_settle(components(errors)[1], errors, confidence=0.95)
    ('n_dev', 304)
    """
    if component.name == "bias":
        size = errors.n_train or 1
        needed = examples_needed(
            lambda number: wilson(errors.train, number, confidence=confidence)[0],
            above=errors.target,
            at_least=size,
        )
        return "n_train", needed
    first, first_size, second, second_size = compared(component.name, errors)
    n_second = errors_size(errors, second_size)
    needed = examples_needed(
        lambda number: newcombe(first, number, second, n_second, confidence=confidence)[0],
        above=0.0,
        at_least=errors_size(errors, first_size) or 1,
    )
    return first_size, needed
