"""Deliberate corruptions of runs: what the verdict has to notice, and whether it does."""
