"""Tools for those who work on the project; each has its own help."""
