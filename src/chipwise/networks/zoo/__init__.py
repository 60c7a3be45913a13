"""The networks that come with chipwise: one function each, one file a family, and one light table of them all."""

from chipwise.networks.zoo.entry import ZooEntry
from chipwise.networks.zoo.table import ZOO

__all__ = ["ZOO", "ZooEntry"]
