"""Recipes: TOML files in which any value may be a range, checked before anything runs."""
