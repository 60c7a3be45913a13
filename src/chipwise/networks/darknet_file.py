r"""Networks from Darknet's files: a `.cfg`, and the numbers of its `.weights` where there are any. Light: no torch.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "one.cfg"
>>> text = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=4\n[avgpool]\n[softmax]"
>>> _ = path.write_text(text)
>>> network = load(path, None)
>>> network.name, network.outputs[0].shape, network.task.kind
('one', ('batch', 4), 'classification')
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from chipwise.codec.files import read_bounded
from chipwise.codec.hashes import sha256_bytes
from chipwise.core.errors import NetworkError
from chipwise.core.network import Network
from chipwise.networks.darknet.build import build
from chipwise.networks.darknet.cfg import LIMIT_BYTES, Cfg, parse
from chipwise.networks.darknet.drawing import Drawing
from chipwise.networks.darknet.task import gives_scores, task_of
from chipwise.networks.darknet.weights import MOST_BYTES, fill, read_header
from chipwise.networks.drawn import specs_of
from chipwise.networks.onnx_file import from_model
from chipwise.networks.parameters import leave_untrained

_UNTRAINED = b"darknet 1, untrained\n"  # counts up when the same cfg begins with other numbers


def load(path: Path, weights: Path | None) -> Network:
    """Read a Darknet network: its graph, with batch-norm as nodes of its own, and what it is for.

    Results are the raw inputs of the detection layers, in order, or else the last layer; then the states of recurrent
    layers. Without weights, the network begins at random (He, seed 0), drawn when somebody looks.

    Args:
        path: the cfg.
        weights: the weights file; None for an untrained network.

    Raises:
        NetworkError: when a file cannot be read, a layer cannot be built (by name and line), or the weights are not
            exactly as many as the layers need.
    """
    data = _read(path)
    held = None if weights is None else read_bounded(weights, MOST_BYTES, "weights", NetworkError)
    header = None if held is None else read_header(held, str(weights))
    try:
        cfg = parse(data.decode("utf-8", errors="replace"))
        drawing = build(cfg, forked=header is not None and header.forked)
        network = _network(cfg, drawing, path)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error.message}", hint=error.hint) from error
    if held is None or header is None:
        leave_untrained(drawing.parameters)
        return replace(network, digest=sha256_bytes(_UNTRAINED + data))
    fill(drawing.parameters, held, header, str(weights))
    assert network.graph is not None
    return from_model(network.graph, network.name, task=network.task, origin=network.origin)


def _network(cfg: Cfg, drawing: Drawing, path: Path) -> Network:
    last = drawing.flows[-1]
    if drawing.found:
        results = [found.value for found in drawing.found]
    elif gives_scores(cfg, drawing):
        results = [drawing.flat(last)]
    else:
        results = [drawing.like(last)]
    graph = drawing.finish(results, path.stem)
    inputs, outputs = specs_of(graph.graph.inputs), specs_of(graph.graph.outputs)
    return Network(path.stem, inputs, outputs, task_of(cfg, drawing), graph=graph, origin=str(path))


def _read(path: Path) -> bytes:
    data = read_bounded(path, LIMIT_BYTES, "cfg", NetworkError)
    if b"\0" in data:
        raise NetworkError(f"{path} is no text", hint="a Darknet cfg is text: [sections] of key=value lines")
    return data
