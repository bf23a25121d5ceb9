"""One module a kind of figure; each returns a finished figure and touches no file."""
