"""Find a network by what the user typed: a zoo name, an ONNX file, a run folder, or a torch factory.

>>> load("lenet5-caffe").inputs[0].shape
('batch', 1, 28, 28)
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from chipwise.core.errors import NetworkError, unknown_name
from chipwise.core.network import Network, Source, TensorSpec
from chipwise.core.task import Task
from chipwise.networks.lazy import late
from chipwise.networks.source_digest import source_digest
from chipwise.networks.zoo import ZOO
from chipwise.tasks.preprocess import default_preprocess, parse_preprocess

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

# What people give by mistake, by its first bytes.
_MAGIC = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip file (a plan, or a torch checkpoint)"),
    (b"\x80\x02", "a pickle file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x7fELF", "a program"),
    (b"\x93NUMPY", "a NumPy array"),
)


def load(spec: str, *, preprocess: str | None = None, input_shape: tuple[int, ...] | None = None) -> Network:
    """Find a network. A zoo name wins over a file of the same name (write ./name for the file).

    Args:
        spec: a zoo name, a path to an ONNX file, a folder with network.json, or "package.module:callable".
        preprocess: changes how pictures become inputs, as "scale=1,mean=0.485/0.456/0.406,order=BGR,fit=crop".
        input_shape: what a factory's network takes, without the batch ((3, 224, 224)); needed when its module
            has no `example_input`.

    Raises:
        UnknownNameError: when it is none of these.
        NetworkError: when it is one of these and cannot be read or built.
        MissingExtraError: when a factory needs torch and it is not installed.
    """
    path = Path(spec)
    if input_shape is not None and (spec in ZOO or path.exists()):
        raise NetworkError(f"{spec} says itself what it takes", hint="leave the input shape out: it is for factories")
    if spec in ZOO:
        network = _zoo(spec)
    elif path.is_file():
        _refuse_other_formats(path)
        return late("onnx_file").load(path, preprocess)  # type: ignore[no-any-return]
    elif path.is_dir():
        network = late("run_folder").load(path)
    elif _FACTORY.fullmatch(spec):
        network = _factory(spec, input_shape)
    elif path.suffix or "/" in spec:
        raise NetworkError(f"no such file: {spec}", hint=f"or name a network of the zoo: {', '.join(sorted(ZOO))}")
    else:
        raise unknown_name("network", spec, ZOO)
    return _with_preprocess(network, preprocess)


def with_classes(network: Network, classes: int) -> Network:
    """The same untrained network for another number of classes; only networks with a source can change.

    A factory that does not take `num_classes` stays as it is: whether its outputs suit, training sees when it runs.

    Raises:
        NetworkError: when it is a graph without a source, or already trained.
    """
    if network.outputs and network.outputs[-1].shape[-1] == classes:
        return network
    if network.source is None:
        raise NetworkError(
            f"{network.name} gives {list(network.outputs[0].shape)}, the data has {classes} classes",
            hint="a graph without a torch source cannot be changed: give a zoo name or a factory",
        )
    if network.source.weights is not None:
        if not network.outputs and len(network.task.labels) == classes:
            return network
        raise NetworkError(f"{network.name} was trained for other classes than the {classes} of the data")
    if not network.outputs and not late("torch_source").takes_argument(network.source, "num_classes"):
        return network
    source = replace(network.source, arguments={**network.source.arguments, "num_classes": classes})
    outputs = tuple(replace(spec, shape=(*spec.shape[:-1], classes)) for spec in network.outputs)
    return replace(network, source=source, outputs=outputs, graph=None, digest=source_digest(source))


def _zoo(name: str) -> Network:
    entry = ZOO[name]
    source = Source(entry.factory)
    task = Task("classification", preprocess=entry.preprocess)
    scores = TensorSpec("scores", ("batch", entry.classes))
    return Network(name, (entry.input,), (scores,), task, source=source, digest=source_digest(source), origin=name)


def _factory(spec: str, input_shape: tuple[int, ...] | None) -> Network:
    source = Source(spec)
    inputs = (
        late("torch_source").example_specs(source)
        if input_shape is None
        else (TensorSpec("input", ("batch", *input_shape)),)
    )
    task = Task("classification", preprocess=default_preprocess(inputs[0]) if len(inputs) == 1 else None)
    name = spec.partition(":")[2].replace(".", "_")
    return Network(name, inputs, (), task, source=source, digest=source_digest(source), origin=spec)


def _with_preprocess(network: Network, text: str | None) -> Network:
    if text is None:
        return network
    start = network.task.preprocess or default_preprocess(network.inputs[0])
    if start is None:
        raise NetworkError(f"preprocessing {text!r} needs a network that takes pictures; {network.name} does not")
    return replace(network, task=replace(network.task, preprocess=parse_preprocess(text, start)))


def _refuse_other_formats(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise NetworkError(f"cannot read {path}: {error.strerror or error}") from error
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            raise NetworkError(f"{path} is {kind}, not an ONNX file", hint="give an ONNX file, a zoo name or a factory")
