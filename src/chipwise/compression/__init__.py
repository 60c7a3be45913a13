"""From a trained network to a smaller one: channels, weights and values that go, and what each cost."""
