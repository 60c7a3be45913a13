"""Find a network by what the user typed: a zoo name, a model file, a run folder, or a torch factory.

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
from chipwise.networks.zoo.named import named
from chipwise.tasks.describe import described
from chipwise.tasks.preprocess import default_preprocess

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

# Suffix: the module of this folder that reads it, and the suffix of its weights where they are another file.
_FORMATS = {
    ".cfg": ("darknet_file", ".weights"),
    ".prototxt": ("caffe_file", ".caffemodel"),
    ".keras": ("keras_file", ""),
    ".h5": ("keras_file", ""),
    ".plan": ("plan_file", ""),
    ".cwz": ("small_file", ""),
}

# What people give by mistake, by its first bytes.
_MAGIC = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip file (a plan ends in .plan; torch checkpoints are --weights)"),
    (b"\x80\x02", "a pickle file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"CWZ", "a compressed network (its name must end in .cwz)"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x7fELF", "a program"),
    (b"\x93NUMPY", "a NumPy array"),
)


def load(
    spec: str,
    *,
    weights: Path | None = None,
    preprocess: str | None = None,
    task: str | None = None,
    labels: Path | None = None,
    input_shape: tuple[int, ...] | None = None,
) -> Network:
    """Find a network. A zoo name wins over a file of the same name (write ./name for the file).

    Args:
        spec: a zoo name, with options or without ("resnet18", "resnet18:num_classes=10"); an .onnx, .cfg (Darknet),
            .prototxt (Caffe), .keras, .h5, .plan or .cwz file; a folder with network.json; or
            "package.module:callable".
        weights: trained weights: .safetensors, .cwz, .pth, .pt or .th for a zoo name or factory, .weights for a .cfg,
            .caffemodel or Deep Compression's .net for a .prototxt. Without it a .cfg or .prototxt takes the file of
            the same name beside it.
        preprocess: changes how pictures become inputs, as "scale=1,mean=0.485/0.456/0.406,order=BGR,fit=crop".
        task: what it is for where the file does not say, as "detection:yolox" (see `chipwise.tasks.describe`).
        labels: a text file with one class name a line.
        input_shape: what a factory's network takes, without the batch ((3, 224, 224)); needed when its module
            has no `example_input`.

    Raises:
        UnknownNameError: when it is none of these.
        NetworkError: when it is one of these and cannot be read or built; PlanError: likewise, of a plan.
        InputError: when `preprocess`, `task` or `labels` cannot be read or do not suit the network.
        MissingExtraError: when it needs torch or keras and that is not installed.
    """
    path, name, of_zoo = Path(spec), spec.partition(":")[0], named(spec)
    if input_shape is not None and (name in ZOO or path.exists()):
        raise NetworkError(f"{spec} says itself what it takes", hint="leave the input shape out: it is for factories")
    if of_zoo is not None:
        network = _with_weights(of_zoo, weights)
    elif path.is_file():
        network = _file(path, weights)
    elif path.is_dir():
        network = _with_weights(late("run_folder").load(path), weights)
    elif _FACTORY.fullmatch(spec):
        network = _with_weights(_factory(spec, input_shape), weights)
    elif path.suffix or "/" in spec:
        raise NetworkError(f"no such file: {spec}", hint=f"or name a network of the zoo: {', '.join(sorted(ZOO))}")
    else:
        raise unknown_name("network", name, ZOO)
    return described(network, preprocess=preprocess, task=task, labels=labels)


def _file(path: Path, weights: Path | None) -> Network:
    """Read a model file by its suffix; any other suffix must hold ONNX."""
    module, weights_suffix = _FORMATS.get(path.suffix.lower(), ("onnx_file", ""))
    if module == "onnx_file":
        _refuse_other_formats(path)
    if weights is not None and not weights_suffix:
        raise NetworkError(f"{path} holds its weights itself", hint="leave --weights out")
    if weights_suffix:
        beside = path.with_suffix(weights_suffix)
        network = late(module).load(path, weights or (beside if beside.is_file() else None))
    else:
        network = late(module).load(path)
    return network  # type: ignore[no-any-return]


def _with_weights(network: Network, weights: Path | None) -> Network:
    if weights is None:
        return network
    if network.source is None:
        raise NetworkError(f"{network.name} has no torch source that takes weights", hint="leave --weights out")
    source = replace(network.source, weights=weights)
    return replace(network, source=source, digest=source_digest(source))


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


def _refuse_other_formats(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise NetworkError(f"cannot read {path}: {error.strerror or error}") from error
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            raise NetworkError(f"{path} is {kind}, not an ONNX file", hint="give an ONNX file, a zoo name or a factory")
    if start[4:8] == b"TFL3":
        hint = f"convert it to ONNX: python -m tf2onnx.convert --tflite {path} --output {path.stem}.onnx"
        raise NetworkError(f"{path} is a TensorFlow Lite file", hint=hint)
