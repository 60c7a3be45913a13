"""Training in several processes, each strategy torch's own, and the proof that it learns what one process does."""
