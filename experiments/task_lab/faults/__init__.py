"""Faults as data, and how each is injected and healed."""
