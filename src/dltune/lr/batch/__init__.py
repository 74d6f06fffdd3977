"""The largest batch that fits, and the learning rate scaled with it."""
