"""Reading a running stack: its ledger, its broker, its metrics, the machine it is on."""
