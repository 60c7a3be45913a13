"""From a trained network to a smaller one: channels, weights and values that go, number formats, and what each costs."""
