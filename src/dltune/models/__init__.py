"""Built-in architectures, one a file, and the door for the user's own."""
