"""From a trained network to a smaller one: channels, weights and values that go, number formats; what each costs."""
