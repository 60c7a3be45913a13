"""The zoo's table: name to entry, and what a name with options stands for.

A new network is one function in its family's file and one entry in `entries` (then `python -m
chipwise.networks.zoo_rows`).

>>> ZOO["lenet5-caffe"].inputs[0].shape
('batch', 1, 28, 28)
"""

from __future__ import annotations

from chipwise.networks.zoo.entries.cifar import CIFAR
from chipwise.networks.zoo.entries.darknet import DARKNET
from chipwise.networks.zoo.entries.detectors import SSD, YOLO
from chipwise.networks.zoo.entries.digits import DIGITS
from chipwise.networks.zoo.entries.photos import PHOTOS
from chipwise.networks.zoo.entries.segmenters import SEGMENTERS
from chipwise.networks.zoo.entries.sequences import SEQUENCES
from chipwise.networks.zoo.entry import ZooEntry

ZOO: dict[str, ZooEntry] = {**DIGITS, **DARKNET, **YOLO, **SSD, **SEGMENTERS, **SEQUENCES, **PHOTOS, **CIFAR}
