"""The zoo's table of contents: everything about a zoo network that can be said without torch.

A new network is one function in its family's file and one entry here (then `python -m chipwise.networks.zoo_rows`).

>>> ZOO["lenet5-caffe"].input.shape
('batch', 1, 28, 28)
"""

from __future__ import annotations

from dataclasses import dataclass

from chipwise.core.network import TensorSpec
from chipwise.core.task import Preprocess

_FAMILIES = "chipwise.networks.zoo"

# Mean and standard deviation of MNIST's training pixels on the 0..1 scale, as in the PyTorch MNIST example.
_MEAN, _STD = (0.1307,), (0.3081,)


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """One zoo network.

    Attributes:
        factory: "package.module:callable" that takes `num_classes` and returns a `torch.nn.Module`.
        input: what the network takes.
        preprocess: how a picture becomes that input.
        description: one line.
        classes: classes that it tells apart unless told otherwise.
    """

    factory: str
    input: TensorSpec
    preprocess: Preprocess
    description: str
    classes: int = 10


def _picture(factory: str, side: int, preprocess: Preprocess, description: str) -> ZooEntry:
    return ZooEntry(f"{_FAMILIES}.{factory}", TensorSpec("input", ("batch", 1, side, side)), preprocess, description)


def _vector(factory: str, preprocess: Preprocess, description: str) -> ZooEntry:
    features = preprocess.height * preprocess.width * preprocess.channels
    return ZooEntry(f"{_FAMILIES}.{factory}", TensorSpec("input", ("batch", features)), preprocess, description)


ZOO: dict[str, ZooEntry] = {
    "lenet5": _picture(
        "lenet:lenet5",
        32,
        # LeCun et al. 1998, section II-B: background -0.1, ink 1.175, so that mean and variance are near 0 and 1.
        Preprocess(32, 32, scale=1.275 / 255, mean=(0.1,)),
        "LeNet-5 of 1998: tanh, trainable subsampling, partly connected C3, RBF outputs (60,000 parameters)",
    ),
    "lenet5-keras": _picture(
        "lenet:lenet5_keras",
        32,
        Preprocess(32, 32, mean=_MEAN, std=_STD),
        "LeNet-5 as in Keras tutorials: 3x3 convolutions, relu, average pooling (81,194 parameters)",
    ),
    "lenet5-caffe": _picture(
        "lenet:lenet5_caffe",
        28,
        Preprocess(28, 28, mean=_MEAN, std=_STD),
        "LeNet-5 as in Caffe and Deep Compression: 20-50-500-10 (431,080 parameters)",
    ),
    "lenet-300-100": _vector(
        "mlp:lenet_300_100",
        Preprocess(28, 28, layout="flat", mean=_MEAN, std=_STD),
        "LeNet-300-100: two hidden layers (266,610 parameters)",
    ),
    "mlp-4096": _vector(
        "mlp:mlp_4096",
        Preprocess(28, 28, layout="flat", mean=_MEAN, std=_STD),
        "784-4096-4096-10 with dropout (20,037,642 parameters)",
    ),
    "convnet-small": _picture(
        "convnet:convnet_small",
        28,
        Preprocess(28, 28, mean=_MEAN, std=_STD),
        "small pixel-unshuffle CNN with batch-norm, made to train in seconds on a CPU",
    ),
}
