"""Export torch modules to ONNX so that training's names and batch-norms stay visible; cached by digest.

torch's own optimizer folds batch-norm into convolutions, so it is switched off and `export_cleanup` takes its place.

>>> from chipwise.networks.load import load
>>> with_graph(load("lenet-300-100")).outputs[0].shape
('batch', 10)
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from chipwise.codec.cache import cache_folder
from chipwise.codec.files import atomic_write
from chipwise.core.errors import NetworkError
from chipwise.core.network import Network
from chipwise.core.task import Task
from chipwise.networks import onnx_file, torch_source
from chipwise.networks.export_module import export_module
from chipwise.networks.source_digest import source_digest
from chipwise.networks.zoo.entry import from_zoo
from chipwise.tasks.guess import guess_task
from chipwise.tasks.preprocess import default_preprocess

# Raised when export or clean-up changes what it makes, so that older cache entries are not used.
_RULES = 3


def with_graph(network: Network) -> Network:
    """Give a network with a source its ONNX graph; one that has a graph is returned as it is.

    Untrained weights are initialised from seed 0, so that the same network gives the same graph.

    Raises:
        NetworkError: when it cannot be built or exported.
    """
    if network.graph is not None:
        return network
    assert network.source is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = torch_source.build_module(network.source)
    path = cache_folder("export") / f"{_key(module, network)}.onnx"
    exported = _cached(path, network)
    if exported is None:
        examples = torch_source.examples_for(network.inputs, batch=2)
        data = export_module(module, examples, names=[spec.name for spec in network.inputs])
        atomic_write(path, data)
        exported = onnx_file.from_bytes(data, network.name, task=network.task)
    return replace(
        network,
        inputs=exported.inputs,
        outputs=exported.outputs,
        task=_task(network, exported),
        graph=exported.graph,
        digest=exported.digest,
    )


def _task(network: Network, exported: Network) -> Task:
    """What a network is for; a factory's is guessed anew now that its outputs are known, but for what was told."""
    task = network.task
    if network.source is None or from_zoo(network.source) or ":" not in network.origin:
        return task
    guess = guess_task(exported.inputs, exported.outputs)
    usual = default_preprocess(network.inputs[0]) if len(network.inputs) == 1 else None
    seen = guess.preprocess if task.preprocess in (None, usual) else task.preprocess
    return replace(guess, labels=task.labels or guess.labels, preprocess=seen)


def _cached(path: Path, network: Network) -> Network | None:
    if not path.is_file():
        return None
    try:
        return onnx_file.from_bytes(path.read_bytes(), network.name, task=network.task)
    except (NetworkError, OSError):  # a damaged cache entry is made again
        return None


def _key(module: nn.Module, network: Network) -> str:
    """Hash all that decides the graph: source, code of every class in the module, weights, inputs, versions."""
    assert network.source is not None
    digest = hashlib.sha256(source_digest(network.source).encode())
    for text in (str(_RULES), torch.__version__, importlib.metadata.version("onnxscript"), repr(network.inputs)):
        digest.update(text.encode() + b"\0")
    for path in sorted(_code_files(module, network.source.factory)):
        digest.update(path.read_bytes())
    for key, value in module.state_dict().items():
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _code_files(module: nn.Module, factory: str) -> set[Path]:
    kinds = {type(part) for part in module.modules() if not type(part).__module__.startswith("torch.")}
    files = {inspect.getsourcefile(kind) for kind in kinds}
    try:
        files.add(inspect.getsourcefile(inspect.unwrap(torch_source.find_factory(factory))))
    except TypeError:  # a callable object rather than a function: its class is its code
        files.add(inspect.getsourcefile(type(torch_source.find_factory(factory))))
    return {Path(file) for file in files if file}
