"""Training a cohort: losses, optimizers, schedules, regularizers, the loop and its engines."""
