"""A run folder: what it holds, its one reader and its one writer."""
