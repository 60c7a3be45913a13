"""Read trained weights into torch modules: safetensors, or torch's own checkpoints without running what they hold.

torch checkpoints are pickles; only torch's weights-only loader reads them here, which knows tensors and plain
containers and nothing else.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "w.pth"
>>> torch.save({"state_dict": {"module.weight": torch.ones(2, 3), "module.bias": torch.ones(2)}}, path)
>>> layer = nn.Linear(3, 2); load_weights(layer, path); layer.bias[0].item()
1.0
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from chipwise.codec.small_file import stream_small
from chipwise.core.errors import NetworkError, first_line

_CHECKPOINTS = (".pth", ".pt", ".th", ".bin")
# Where training scripts put the state_dict, and what their wrappers put in front of its keys.
_NESTS = ("state_dict", "model_state_dict", "model_state", "model", "net")
_PREFIXES = ("module.", "model.", "_orig_mod.")
_NEST_LIMIT = 4
# torchvision's DenseNet files were written before "norm.1" in a key became "norm1".
_OLD_KEY = re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.([12])\.")
_COUNTER = "num_batches_tracked"  # only momentum=None batch-norms read it; older files lack it
# What torch's reader raises for damaged files, beside its own UnpicklingError.
_READ_ERRORS = (
    SafetensorError,
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    EOFError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a weights file into a module, values converted to the module's types; every key and shape must fit.

    Args:
        module: changed in place; left as it was when an error is raised.
        path: .safetensors, or .pth, .pt, .th, .bin with a state_dict (or a dictionary that holds one).

    Raises:
        NetworkError: naming the first keys or shapes that do not fit, or why the file cannot be read.
    """
    module.load_state_dict(fitting(module, path), strict=False)  # a counter may be missing, or unknown


def fitting(module: nn.Module, path: Path) -> dict[str, Tensor]:
    """Read a weights file whose every key and shape fits a module, which may be on torch's meta device.

    Raises:
        NetworkError: as `load_weights`.
    """
    own = module.state_dict()
    found = _read_for(own, path)
    found, missing, unknown, mismatching = _compared(found, own)
    parts = [f"{verb} {_few(keys)}" for verb, keys in (("lacks", missing), ("has unknown", unknown)) if keys]
    parts += [f"has {_differences(mismatching, found, own)}"] if mismatching else []
    if parts:
        raise NetworkError(
            f"{path} does not fit this network: it {' and '.join(parts)}",
            hint="give the network that was trained, with the same options (num_classes, width, aux)",
        )
    return found


def load_backbone(module: nn.Module, path: Path) -> tuple[str, ...]:
    """Load all but the head of a network trained for other classes, and return the keys that were left as they were.

    The head may differ in two ways: layers that give another number of outputs (and nothing else is other about them),
    or the module's last layer, which the file may lack, with one layer of the file in its place.

    Args:
        module: changed in place; left as it was when an error is raised.
        path: as for `load_weights`.

    Raises:
        NetworkError: when anything else does not fit, when less than half of the keys fit, or the file is unreadable.
    """
    own = module.state_dict()
    found = _read_for(own, path)
    found, missing, unknown, mismatching = _compared(found, own)
    head = _last_layer(module)
    inner = [key for key in mismatching if found[key].shape[1:] != own[key].shape[1:] and _layer(key) != head]
    inner += [key for key in missing if _layer(key) != head]
    left = tuple(dict.fromkeys([*missing, *mismatching]))
    counted = [key for key in own if not key.endswith(_COUNTER)]
    if inner or len({_layer(key) for key in unknown}) > 1 or 2 * len(left) > len(counted):
        other = inner or unknown or list(left)
        raise NetworkError(
            f"{path} does not fit this network before its last layer: {len(counted) - len(left)} of {len(counted)} "
            f"keys fit; not so {_few(other)}",
            hint="only the last layer may differ; give the network that was trained",
        )
    module.load_state_dict({key: found[key] for key in found if key not in mismatching}, strict=False)
    return left


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file, on the CPU; nothing in the file is executed.

    Raises:
        NetworkError: when it cannot be read, needs pickled code, or holds no state_dict.
    """
    suffix = path.suffix.lower()
    if suffix == ".cwz":
        return {name: torch.from_numpy(values) for name, values in stream_small(path)}
    if suffix != ".safetensors" and suffix not in _CHECKPOINTS:
        raise NetworkError(f"{path} is no weights file", hint=f"give .safetensors, .cwz or {', '.join(_CHECKPOINTS)}")
    try:
        if suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return _state_dict(_checkpoint(path), path)
    except pickle.UnpicklingError as error:
        raise NetworkError(
            f"{path} holds more than tensors, which only pickle could load: it could run any code ({_cause(error)})",
            hint="load it where you trust it, and save model.state_dict() as safetensors",
        ) from error
    except _READ_ERRORS as error:
        raise NetworkError(
            f"cannot read the weights {path}: {first_line(error)}", hint="it was cut short, or is no such file"
        ) from error


def _read_for(own: Collection[str], path: Path) -> dict[str, Tensor]:
    """The tensors of a file; of a compressed network only the module's: constants of its graph are no weights."""
    found = read_tensors(path)
    return {key: value for key, value in found.items() if key in own} if path.suffix.lower() == ".cwz" else found


def _checkpoint(path: Path) -> object:
    """Files since torch 1.6 are zips, which can be mapped; a compressed one could unpack to any size."""
    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            packed = [info.filename for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise ValueError(f"{packed[0]!r} in it is compressed, which torch never writes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickle protocols, which the reader cannot change
        loaded: object = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    return loaded


def _state_dict(loaded: object, path: Path) -> dict[str, Tensor]:
    for _ in range(_NEST_LIMIT):
        if isinstance(loaded, Mapping) and not any(isinstance(value, Tensor) for value in loaded.values()):
            loaded = next((loaded[key] for key in _NESTS if isinstance(loaded.get(key), Mapping)), loaded)
    if not isinstance(loaded, Mapping) or not loaded:
        raise NetworkError(f"{path} holds a {type(loaded).__name__}, no state_dict", hint="save model.state_dict()")
    for key, value in loaded.items():
        plain = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized
        if not isinstance(key, str) or not plain or value.is_meta:
            raise NetworkError(f"{path}: {key!r} is a {type(value).__name__}, no plain tensor", hint="no state_dict?")
    return dict(loaded)


def _compared(
    found: dict[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str], list[str], list[str]]:
    """What was found by today's keys; and which keys it lacks, has beyond the module's, and has in another form."""
    found = _as_today(found, own)
    missing = _untied([key for key in own if key not in found and not key.endswith(_COUNTER)], found, own)
    unknown = [key for key in found if key not in own and not key.endswith(_COUNTER)]
    return found, missing, unknown, _mismatching(found, own)


def _as_today(found: dict[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
    """Take off what DataParallel, Lightning and torch.compile put in front of every key; bring old keys up to date."""
    for _ in range(_NEST_LIMIT):
        for prefix in _PREFIXES:
            ours = any(key.startswith(prefix) for key in own)
            if found and not ours and all(key.startswith(prefix) for key in found):
                found = {key.removeprefix(prefix): value for key, value in found.items()}
    return {key if key in own else _OLD_KEY.sub(r"\1\2.", key): value for key, value in found.items()}


def _untied(missing: list[str], found: Collection[str], own: Mapping[str, Tensor]) -> list[str]:
    """Weights that share their memory are written once: only those are missing whose twin is missing too."""
    given = {_place(own[key]) for key in found if key in own and own[key].numel()}
    return [key for key in missing if _place(own[key]) not in given]


def _place(tensor: Tensor) -> tuple[int, int]:
    """Where a tensor lies; on the meta device there are no addresses."""
    return int(tensor.untyped_storage()._cdata), int(tensor.storage_offset())  # noqa: SLF001


def _mismatching(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Keys of another shape, or of numbers where the module has whole numbers or the other way round."""
    return [
        key
        for key, value in found.items()
        if key in own
        and (value.shape != own[key].shape or value.dtype.is_floating_point != own[key].dtype.is_floating_point)
    ]


def _last_layer(module: nn.Module) -> str:
    return next((name for name, part in reversed(list(module.named_modules())) if _own(part)), "")


def _own(part: nn.Module) -> bool:
    return any(True for _ in part.parameters(recurse=False))


def _layer(key: str) -> str:
    return key.rpartition(".")[0]


def _differences(keys: list[str], found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    listed = [f"{key} {_facts(found[key], own[key])} where the network has {_facts(own[key])}" for key in keys[:3]]
    return ", ".join(listed) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _facts(value: Tensor, other: Tensor | None = None) -> str:
    same_kind = other is None or value.dtype.is_floating_point == other.dtype.is_floating_point
    return f"{list(value.shape)}" + ("" if same_kind else f" of {str(value.dtype).removeprefix('torch.')}")


def _few(keys: Iterable[str]) -> str:
    listed = sorted(keys)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def _cause(error: BaseException) -> str:
    """The reason, which torch wraps in a page of advice."""
    lines = [line.strip() for line in str(error).splitlines() if "WeightsUnpickler error" in line or "GLOBAL" in line]
    return (lines or [first_line(error)])[0].removeprefix("WeightsUnpickler error: ")[:200]
