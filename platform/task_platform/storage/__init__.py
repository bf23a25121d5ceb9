"""Postgres: the truth about every task."""
