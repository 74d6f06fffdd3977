"""Which trials of a search are not worth their last epochs: one file a rule."""
