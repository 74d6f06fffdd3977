"""dltune: find the learning rate, search the rest, and learn why a model errs. For PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dltune.api import LrFinding, lr_find

__version__ = "0.1.0"

__all__ = ["LrFinding", "__version__", "lr_find"]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first asked for: they need torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dltune import api

    value = globals()[name] = getattr(api, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
