"""Native code for one PyTorch module and one set of input shapes, by AOTInductor, kept in the engine cache.

Compiling takes seconds to minutes; loading what was compiled before takes milliseconds. The key has all that decides
the code: the graph, the options, the shapes, this machine's processor, PyTorch's version and the translation's code.

>>> len(machine_digest())
64
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from torch._inductor import aoti_compile_and_package
from torch._inductor.package.package import load_package
from torch.export import ExportedProgram

from chipwise.codec.cache import cache_folder
from chipwise.codec.hashes import sha256_bytes
from chipwise.devices.detect import detect
from chipwise.runtimes.engine_cache import EngineCache
from chipwise.runtimes.onnx_to_torch import OnnxModule

Call = Callable[[list[torch.Tensor]], Sequence[torch.Tensor]]

# Weights lie beside the library, not in it: g++ marks symbols of templates as unique, so that a library is never
# unloaded, and 20 closed engines of 52 MB would still hold 900 MB. (force_mmap_weights maps them and never unmaps.)
_SETTINGS = {
    "freezing": True,
    "aot_inductor.package_constants_in_so": False,
    "aot_inductor.package_constants_on_disk_format": "binary_blob",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What native code is made from, but for the shapes.

    Attributes:
        graph: sha256 of the serialized ONNX graph.
        precision: what floats are computed in; threads: of one call, -1 for all.
    """

    graph: str
    precision: str
    threads: int


def native(
    wanted: Wanted, module: Callable[[], OnnxModule], examples: Sequence[torch.Tensor], *, runners: int = 1
) -> Call:
    """Load the code for these shapes; make it first where it is not in the cache or does not load.

    Args:
        wanted: what is asked for.
        module: builds the module; called only when there is something to compile.
        examples: inputs of the shapes to compile for. The code does not check shapes: give it no others.
        runners: calls that may run at once.

    Returns:
        a call on a list of tensors, which is emptied.

    Raises:
        RuntimeError, and others of PyTorch's: when it cannot be exported or compiled.
    """
    kept = EngineCache(cache_folder("engines"), ".pt2")
    key = _key(wanted, examples)

    def make(path: Path) -> None:
        _compile(exported(module(), examples), path, wanted.threads)

    path = kept.get_or_make(key, make)
    try:
        return _loaded(path, runners)
    except RuntimeError:  # whole, and yet not to be loaded here: made again once
        kept.drop(key)
        return _loaded(kept.get_or_make(key, make), runners)


def exported(module: OnnxModule, examples: Sequence[torch.Tensor]) -> ExportedProgram:
    """Trace a module for these shapes. Python runs as it is (not strict), so that NumPy computes what is known."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(module.eval(), tuple(examples), strict=False)


@cache
def machine_digest() -> str:
    """Hash of what native code depends on besides the graph: processor, PyTorch, and the code of the translation."""
    machine = detect()
    facts = [machine.cpu, machine.architecture, machine.isa, machine.os, str(torch.__version__)]
    facts.append(torch.backends.cpu.get_cpu_capability())
    digest = hashlib.sha256(json.dumps(facts).encode())
    for path in sorted(Path(__file__).parent.glob("*torch*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _key(wanted: Wanted, examples: Sequence[torch.Tensor]) -> str:
    shapes = [[str(example.dtype), list(example.shape)] for example in examples]
    return sha256_bytes(json.dumps([asdict(wanted), shapes, machine_digest()]).encode())


def _compile(program: ExportedProgram, path: Path, threads: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        aoti_compile_and_package(program, package_path=str(path), inductor_configs=_SETTINGS | {"cpp.threads": threads})


def _loaded(path: Path, runners: int) -> Call:
    call: Call = load_package(str(path), num_runners=runners).loader.boxed_run
    return call
