"""Darknet's classifiers.

>>> DARKNET["darknet19"].inputs[0].shape
('batch', 3, 256, 256)
"""

from __future__ import annotations

from dataclasses import replace

from chipwise.networks.zoo.entry import ZooEntry, classifier, photo


def _classifier(name: str, description: str) -> ZooEntry:
    # Darknet cuts the middle square out of the picture and normalises no colours.
    preprocess = photo(256, resize=256, mean=(0.0,), std=(1.0,))
    entry = classifier(f"darknet:{name}", (3, 256, 256), preprocess, description, classes=1000)
    return replace(entry, options=("width",), sizing="free")


DARKNET: dict[str, ZooEntry] = {
    "darknet19": _classifier("darknet19", "Darknet-19, backbone of YOLOv2: 3x3 and 1x1 convolutions in turns"),
    "darknet53": _classifier("darknet53", "Darknet-53, backbone of YOLOv3: residual blocks"),
}
