"""Build torch modules from their factories, and networks from live modules.

>>> from chipwise.core.network import Source
>>> build_module(Source("chipwise.networks.zoo.mlp:lenet_300_100", {"num_classes": 3}))[-1].out_features
3
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from chipwise.core.errors import NetworkError, first_line
from chipwise.core.network import Network, Source, TensorSpec
from chipwise.networks import onnx_file
from chipwise.networks.export_module import export_module
from chipwise.networks.weights_file import fitting, load_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What a factory of the user's may raise for arguments that it does not like.
_FACTORY_ERRORS = (TypeError, ValueError, RuntimeError, KeyError, AttributeError, AssertionError, IndexError, OSError)


def build_module(source: Source) -> nn.Module:
    """Call the factory, and load the weights where there are any; fresh weights follow torch's global seed.

    Raises:
        NetworkError: when the factory cannot be imported or called, or the weights do not fit.
    """
    factory = find_factory(source.factory)
    try:
        module = factory(**source.arguments)
    except _FACTORY_ERRORS as error:
        given = ", ".join(f"{key}={value!r}" for key, value in source.arguments.items())
        raise NetworkError(f"{source.factory}({given}) raised {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(module, nn.Module):
        raise NetworkError(f"{source.factory} gave a {type(module).__name__}, not a torch.nn.Module")
    if source.weights is not None:
        load_weights(module, source.weights)
    return module


def build_hollow(source: Source) -> tuple[nn.Module, str]:
    """Build without weights on torch's meta device, where values take no memory, and say which device it became.

    A factory that computes with real values while it builds is called again on the CPU.

    Raises:
        NetworkError: as `build_module`.
    """
    bare = replace(source, weights=None)
    try:
        with torch.device("meta"):
            return build_module(bare), "meta"
    except NetworkError:
        return build_module(bare), "cpu"


def check_weights(source: Source) -> None:
    """Check that a source's weights fit it, without memory for a second set of them.

    Raises:
        NetworkError: as `build_module`.
    """
    if source.weights is not None:
        fitting(build_hollow(source)[0], source.weights)


def find_factory(spec: str) -> Callable[..., object]:
    """Import "package.module:callable"; modules in the current folder are found too.

    Raises:
        NetworkError: when there is no such module, or no such callable in it.
    """
    module_name, _, attribute = spec.partition(":")
    try:
        with _current_folder_importable():
            found: object = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        raise NetworkError(
            f"cannot import {module_name!r} for {spec}: {error}", hint=_import_hint(module_name, attribute)
        ) from error
    except AttributeError as error:
        raise NetworkError(f"{spec}: {error}", hint="write it as package.module:callable") from error
    except (ImportError, SyntaxError, *_FACTORY_ERRORS) as error:
        raise NetworkError(f"importing {module_name!r} raised {type(error).__name__}: {first_line(error)}") from error
    if not callable(found):
        raise NetworkError(f"{spec} is a {type(found).__name__}, which cannot be called")
    return found


def takes_argument(source: Source, name: str) -> bool:
    """Whether a factory can be called with an argument of that name; True where Python cannot tell.

    Raises:
        NetworkError: when the factory cannot be imported.
    """
    try:
        parameters = inspect.signature(find_factory(source.factory)).parameters.values()
    except (ValueError, TypeError):
        return True
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return any(
        (each.name == name and each.kind in named) or each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters
    )


def from_module(module: nn.Module, example_input: Tensor | Sequence[Tensor], name: str = "module") -> Network:
    """Export a live module to a network with a graph and no source; the module is left as it was.

    Args:
        module: any module that torch can export.
        example_input: one tensor, or one per argument, batch first.
        name: of the network.

    Raises:
        NetworkError: when torch cannot export it.
    """
    examples = (example_input,) if isinstance(example_input, Tensor) else tuple(example_input)
    if not examples or not all(isinstance(example, Tensor) for example in examples):
        kinds = ", ".join(type(example).__name__ for example in examples) or "nothing"
        raise NetworkError(f"example_input must be one tensor or a sequence of tensors, not {kinds}")
    return onnx_file.from_bytes(export_module(module, examples), name)


def example_specs(source: Source) -> tuple[TensorSpec, ...]:
    """What a factory's network takes, from the `example_input` that the module or the factory carries.

    Raises:
        NetworkError: when there is none.
    """
    examples = examples_of(source)
    if examples is None:
        raise NetworkError(
            f"{source.factory} does not say what its network takes",
            hint="give the input shape (--input-shape 3x224x224, input_shape=(3, 224, 224)), or set an example_input",
        )
    names = ["input"] if len(examples) == 1 else [f"input_{index}" for index in range(len(examples))]
    return tuple(
        TensorSpec(name, ("batch", *tensor.shape[1:]), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in zip(names, examples, strict=True)
    )


def examples_of(source: Source) -> tuple[Tensor, ...] | None:
    """The `example_input` that a factory, or else the module that it makes, carries; None when there is none.

    Raises:
        NetworkError: when the factory cannot be imported or called.
    """
    example = getattr(find_factory(source.factory), "example_input", None)
    if example is None:
        example = getattr(build_module(source), "example_input", None)
    return (example,) if isinstance(example, Tensor) else None if example is None else tuple(example)


def examples_for(inputs: Sequence[TensorSpec], batch: int, device: str = "cpu") -> tuple[Tensor, ...]:
    """Zeros of the shapes and types that a network takes."""
    return tuple(torch.zeros(spec.concrete(batch), dtype=getattr(torch, spec.dtype), device=device) for spec in inputs)


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    here = str(Path.cwd())
    if here in sys.path or "" in sys.path:
        yield
        return
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _import_hint(module_name: str, attribute: str) -> str:
    if module_name.endswith(".py"):
        return f"without .py: {module_name.removesuffix('.py')}:{attribute}"
    return "modules in the current folder and installed packages are found"
