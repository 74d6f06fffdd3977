"""From a source to splits in memory: read, checked, split, and scaled by the training set only."""
