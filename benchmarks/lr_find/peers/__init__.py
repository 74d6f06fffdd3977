"""What a user would take instead of `dltune lr-find`: other finders, a default, no rate at all.

The packages run themselves; nothing of their rules is written anew here. Each module imports its
package when it is imported, so that a benchmark can do without one that is not installed.
"""
