"""Random faults over a mixed load on the real platform, and a verdict on every task."""
