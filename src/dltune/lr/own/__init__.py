"""Sweeps of a user's own model, loss, batches and optimizer, on copies."""
