"""Finding the highest rate that a platform sustains."""
