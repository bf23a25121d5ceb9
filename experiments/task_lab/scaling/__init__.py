"""What more workers are worth: speed-ups, the scaling law behind them, and the workers to run."""
