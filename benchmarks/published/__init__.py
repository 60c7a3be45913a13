"""Published tables of measured latencies: how each is read, split, predicted and fitted."""
