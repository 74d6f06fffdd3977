"""The stacked engine: the trials of a cohort in one forward and backward pass."""
