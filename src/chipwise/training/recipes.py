"""Settings that were found to work well, by network; everything else trains well with the defaults.

>>> recipe("lenet5").schedule
'one-cycle'
"""

from __future__ import annotations

from dataclasses import replace

from chipwise.training.settings import Settings

# Of the learning rate that a network is trained with from scratch: after an epoch, networks of MNIST and CIFAR-10 did
# as well or better on validation with a tenth as with a third.
_FINE = 0.1

# Chosen by validation accuracy on digits and MNIST, never on test. What is not said here is the default.
RECIPES: dict[str, Settings] = {
    # Half the batch and label smoothing: 98.9% to 99.1% on MNIST.
    "lenet5": Settings(batch_size=32, label_smoothing=0.05),
    # Label smoothing: 99.1% to 99.3% or more on MNIST.
    "lenet5-caffe": Settings(batch_size=128, label_smoothing=0.05),
    "lenet5-keras": Settings(label_smoothing=0.05),
    # The optimizer's pass over 20 million parameters costs more than the gradient of a small batch.
    "mlp-4096": Settings(batch_size=256, learning_rate=1e-3),
    # As in benchmarks/racers.py, which adds bf16 where the processor has it.
    "convnet-small": Settings(
        batch_size=128, learning_rate=0.01, weight_decay=0.05, label_smoothing=0.05, channels_last=True
    ),
}


def recipe(network: str, *, fine: bool = False) -> Settings:
    """The settings for a network of the zoo; the defaults for any other.

    Args:
        network: its name.
        fine: whether it is trained already, and as a graph, whose norms do not follow what the weights do.
    """
    usual = RECIPES.get(network, Settings())
    return replace(usual, learning_rate=_FINE * usual.learning_rate) if fine else usual
