"""Judging a run from what is on disk."""
