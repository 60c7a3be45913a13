"""Networks of the zoo by name, with nothing heavy imported: numpy and what reads files stay out.

>>> named("resnet50").inputs[0].shape, named("model.onnx") is None
(('batch', 3, 224, 224), True)
"""

from __future__ import annotations

from chipwise.core.network import Network, Source
from chipwise.networks.source_digest import source_digest
from chipwise.networks.zoo.entry import PACKAGE, with_options
from chipwise.networks.zoo.table import ZOO


def named(spec: str) -> Network | None:
    """The zoo's network of a name, with options or without ("resnet18:num_classes=10"); None where it is no such name.

    Raises:
        InputError: an option that the network has not.
    """
    name, _, options = spec.partition(":")
    if spec not in ZOO and not (name in ZOO and "=" in options):
        return None
    entry = with_options(name, ZOO[name], options) if options else ZOO[name]
    source = Source(f"{PACKAGE}{entry.factory}", dict(entry.arguments))
    digest = source_digest(source)
    return Network(name, entry.inputs, entry.outputs, entry.task, source=source, digest=digest, origin=spec)
