"""Readers of finished trainings, one log format a file."""
