"""Diagnosis: what part of an error is bias, what part variance, and which edits follow."""
