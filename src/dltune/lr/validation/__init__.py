"""Candidate learning rates trained for real."""
