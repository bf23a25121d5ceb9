"""Workers: claim in batches, run, finish in batches, acknowledge after the commit."""
