"""The HTTP edge: validate once, commit in groups, announce."""
