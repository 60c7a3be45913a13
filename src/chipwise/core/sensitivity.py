"""What a network loses when one layer alone has fewer weights, or fewer values for them.

>>> SensitivityPoint(0.2, accuracy=0.98, loss=0.1).setting
0.2
"""

from __future__ import annotations

from dataclasses import dataclass

from chipwise.core.measure import Accuracy


@dataclass(frozen=True, slots=True)
class SensitivityPoint:
    """The whole network with one layer changed.

    Attributes:
        setting: the layer's density, 0..1, or bits of its weights.
        accuracy: share of right answers, 0..1; loss: mean cross-entropy, in nats.
    """

    setting: float
    accuracy: float
    loss: float


@dataclass(frozen=True, slots=True)
class LayerSensitivity:
    """One layer, all others as they are, without training.

    Attributes:
        name: of its weights; weights: how many.
        density: with its smallest weights set to zero.
        steps: with weights rounded to whole numbers of steps; codebook: to values of k-means.
    """

    name: str
    weights: int
    density: tuple[SensitivityPoint, ...]
    steps: tuple[SensitivityPoint, ...]
    codebook: tuple[SensitivityPoint, ...]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """A network layer by layer.

    Attributes:
        network, data: names.
        accuracy: of the network as it is, on the samples of the validation split that all points are of.
        loss: likewise.
        available: samples that the validation split has; where there are more than were taken, these lie evenly in it.
        layers: in the graph's order.
        picture: file that the curves were drawn into; empty for none.
    """

    network: str
    data: str
    accuracy: Accuracy
    loss: float
    available: int
    layers: tuple[LayerSensitivity, ...]
    picture: str = ""
    schema: str = "chipwise.sensitivity/1"
