"""Many models compete on score, time and cost, and one board shows them."""
