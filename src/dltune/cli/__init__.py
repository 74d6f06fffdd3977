"""The commands, one a file: parse, call one function, show the result, exit code."""
