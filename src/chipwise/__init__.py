"""chipwise: give it a neural network and a machine; it makes the network fast there and proves it."""
