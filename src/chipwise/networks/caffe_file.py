"""Networks from Caffe's files: a `.prototxt`, and the numbers of its `.caffemodel` where there is one. Light: no Caffe.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "one.prototxt"
>>> shape = "input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8"
>>> fc = 'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" inner_product_param { num_output: 5 } }'
>>> _ = path.write_text(f'input: "x" {shape} {fc}')
>>> load(path, None).outputs
(TensorSpec(name='fc', shape=('batch', 5), dtype='float32'),)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from chipwise.codec.files import read_bounded
from chipwise.codec.hashes import sha256_bytes
from chipwise.core.errors import NetworkError
from chipwise.core.network import Network, TensorSpec
from chipwise.core.task import Task
from chipwise.networks.caffe import deep_compression, shapes
from chipwise.networks.caffe import weights as caffe_weights
from chipwise.networks.caffe.layers import LAYERS
from chipwise.networks.caffe.prototxt import LIMIT_BYTES, CaffeLayer, CaffeNet, parse
from chipwise.networks.caffe.sketch import Blob, Sketch
from chipwise.networks.drawn import specs_of
from chipwise.networks.onnx_file import from_model
from chipwise.networks.parameters import leave_untrained
from chipwise.tasks.guess import guess_task

_UNTRAINED = b"caffe 1, untrained\n"  # counts up when the same prototxt begins with other numbers
# What Caffe's own examples subtract: the mean of ImageNet, blue first.
_MEAN = (104.0, 117.0, 123.0)
# Layers that judge an answer; inference has no labels to do so.
_JUDGING = ("Accuracy",)


def load(path: Path, weights: Path | None) -> Network:
    """Read a Caffe network as inference runs it: its graph, and what it is for.

    Results are the blobs that no layer reads. The batch is free, whatever the file declares. Without weights, the
    network begins at random (He, seed 0), drawn when somebody looks. The files do not say how pictures are prepared:
    for classifiers of colour pictures this takes what Caffe's examples do, BGR 0..255 less the mean of ImageNet.

    Args:
        path: the prototxt, best the one for deployment.
        weights: the caffemodel, or a Deep Compression .net; None for an untrained network.

    Raises:
        NetworkError: when a file cannot be read, a layer cannot be built (by name), or the weights do not fit.
    """
    data = read_bounded(path, LIMIT_BYTES, "prototxt", NetworkError)
    try:
        net = parse(data.decode("utf-8", errors="replace"), path.name)
        sketch, outputs = _draw(net)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error.message}", hint=error.hint) from error
    graph = sketch.finish(outputs, path.stem)
    inputs, results = specs_of(graph.graph.inputs), specs_of(graph.graph.outputs)
    network = Network(path.stem, inputs, results, _task(inputs, results), graph=graph, origin=str(path))
    if weights is None:
        leave_untrained([parameter for each in sketch.parameters.values() for parameter in each])
        return replace(network, digest=sha256_bytes(_UNTRAINED + data))
    fill = deep_compression.fill if weights.suffix.lower() == ".net" else caffe_weights.fill
    fill(net.layers, sketch.parameters, weights)
    return from_model(graph, network.name, task=network.task, origin=network.origin)


def _draw(net: CaffeNet) -> tuple[Sketch, dict[str, Blob]]:
    """Draw all layers; results are the blobs that are left over."""
    sketch = Sketch(net.inputs)
    readers = Counter(name for layer in net.layers for name in layer.bottoms)
    left = dict(sketch.blobs)
    named: set[str] = set()
    for layer in net.layers:
        if layer.type.endswith("Loss") or layer.type in _JUDGING:
            continue
        if layer.type == "Silence":  # it swallows what nobody else wants
            for name in layer.bottoms:
                left.pop(name, None)
            continue
        if not layer.name or layer.name in named:
            raise layer.error("has no name of its own")
        named.add(layer.name)
        _forget_norms(sketch, layer, readers)
        made = _drawer(layer)(sketch, layer)
        if len(made) != len(layer.tops):
            raise layer.error(f"writes {len(layer.tops)} blobs, not {len(made)}")
        for name in layer.bottoms:
            left.pop(name, None)
        sketch.blobs.update(zip(layer.tops, made, strict=True))
        left.update(zip(layer.tops, made, strict=True))
    outputs = {name: blob for name, blob in left.items() if blob.value not in sketch.inputs}
    if not outputs:
        raise NetworkError("no layer's result is left over as the network's")
    last = net.layers[-1]
    return sketch, {name: _flat(sketch, last, blob) for name, blob in outputs.items()}


def _drawer(layer: CaffeLayer) -> Callable[[Sketch, CaffeLayer], list[Blob]]:
    draw = LAYERS.get(layer.type)
    if draw is not None:
        return draw
    if layer.type.endswith("Data"):
        raise layer.error("reads files", "give the deploy prototxt, whose input has a shape")
    raise layer.error("is not supported", f"supported layers: {', '.join(sorted(LAYERS))}")


def _forget_norms(sketch: Sketch, layer: CaffeLayer, readers: Counter[str]) -> None:
    """A Scale becomes part of the batch-norm before it only when nobody else reads what lies between them."""
    for name in layer.bottoms:
        blob = sketch.blobs.get(name)
        alone = (
            layer.type == "Scale" and len(layer.bottoms) == 1 and (layer.tops == layer.bottoms or readers[name] == 1)
        )
        if blob is not None and blob.norm is not None and not alone:
            sketch.blobs[name] = replace(blob, norm=None)


def _flat(sketch: Sketch, last: CaffeLayer, blob: Blob) -> Blob:
    """Scores of a network without a fully connected layer are [batch, classes, 1, 1]: the ones say nothing."""
    if len(blob.shape) == 3 and blob.shape[0] > 1 and math.prod(blob.shape[1:]) == 1:
        return shapes.reshaped(sketch, last, blob, blob.shape[:1])
    return blob


def _task(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Task:
    task = guess_task(inputs, outputs)
    if task.kind == "detection":  # boxes of such files are offsets to anchors, which the files do not hold
        return Task("tensor", preprocess=task.preprocess)
    if task.preprocess is None or task.kind != "classification" or task.preprocess.channels != 3:
        return task
    return replace(task, preprocess=replace(task.preprocess, order="BGR", scale=1.0, mean=_MEAN, std=(1.0,)))
