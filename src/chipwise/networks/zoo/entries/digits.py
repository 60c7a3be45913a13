"""Small networks for handwritten digits.

>>> DIGITS["lenet5-caffe"].inputs[0].shape
('batch', 1, 28, 28)
"""

from __future__ import annotations

from chipwise.core.task import Preprocess
from chipwise.networks.zoo.entry import ZooEntry, classifier

# Mean and standard deviation of MNIST's training pixels on the 0..1 scale, as in the PyTorch MNIST example.
_MEAN, _STD = (0.1307,), (0.3081,)

DIGITS: dict[str, ZooEntry] = {
    "lenet5": classifier(
        "lenet:lenet5",
        (1, 32, 32),
        # LeCun et al. 1998, section II-B: background -0.1, ink 1.175, so that mean and variance are near 0 and 1.
        Preprocess(32, 32, scale=1.275 / 255, mean=(0.1,)),
        "LeNet-5 of 1998: tanh, trainable subsampling, partly connected C3, RBF outputs",
    ),
    "lenet5-keras": classifier(
        "lenet:lenet5_keras",
        (1, 32, 32),
        Preprocess(32, 32, mean=_MEAN, std=_STD),
        "LeNet-5 as in Keras tutorials: 3x3 convolutions, relu, average pooling",
    ),
    "lenet5-caffe": classifier(
        "lenet:lenet5_caffe",
        (1, 28, 28),
        Preprocess(28, 28, mean=_MEAN, std=_STD),
        "LeNet-5 as in Caffe and Deep Compression: 20-50-500-10",
        options=("width",),
    ),
    "lenet-300-100": classifier(
        "mlp:lenet_300_100",
        (784,),
        Preprocess(28, 28, layout="flat", mean=_MEAN, std=_STD),
        "LeNet-300-100: two hidden layers",
        options=("width",),
    ),
    "mlp-4096": classifier(
        "mlp:mlp_4096",
        (784,),
        Preprocess(28, 28, layout="flat", mean=_MEAN, std=_STD),
        "784-4096-4096-10 with dropout",
        options=("width",),
    ),
    "convnet-small": classifier(
        "convnet:convnet_small",
        (1, 28, 28),
        Preprocess(28, 28, mean=_MEAN, std=_STD),
        "small pixel-unshuffle CNN with batch-norm, made to train in seconds on a CPU",
        options=("width",),
    ),
}
