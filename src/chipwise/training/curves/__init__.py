"""Training and validation error against data, capacity or epochs."""
