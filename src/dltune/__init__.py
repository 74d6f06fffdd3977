"""dltune: find the learning rate, search the rest, and learn why a model errs. For PyTorch."""

__version__ = "0.1.0"
