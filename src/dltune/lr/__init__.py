"""The learning rate: a range sweep on a fresh model, and what its curve supports."""
