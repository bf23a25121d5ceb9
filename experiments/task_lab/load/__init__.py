"""Offering load: when to send, the process that sends, and what it is calibrated against."""
