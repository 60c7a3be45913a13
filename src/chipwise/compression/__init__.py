"""From a trained network to a smaller one: number formats, and what they cost in accuracy."""
