"""Hyperparameter search: strategies propose, an executor trains, one writer keeps it."""
