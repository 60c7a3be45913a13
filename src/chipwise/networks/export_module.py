"""One live torch module to ONNX bytes, silently, with names and batch-norms kept.

>>> import torch
>>> len(export_module(torch.nn.Linear(3, 2), (torch.zeros(1, 3),))) > 100
True
"""

from __future__ import annotations

import copy
import inspect
import io
import logging
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from chipwise.core.errors import NetworkError
from chipwise.networks.export_cleanup import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_EXPORT_ERRORS = (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError)


def export_module(module: nn.Module, examples: Sequence[Tensor], names: Sequence[str] = ()) -> bytes:
    """Export a module in inference mode to ONNX bytes, silently, with a free batch dimension where it can be free.

    Args:
        module: left as it was.
        examples: one tensor per argument, batch first.
        names: of the inputs; "input" (or "input_0", ...) when none are given.

    Raises:
        NetworkError: when torch cannot export it.
    """
    twin = copy.deepcopy(module).eval().cpu()
    arguments = tuple(example.detach().cpu() for example in examples)
    names = list(names) or (["input"] if len(arguments) == 1 else [f"input_{i}" for i in range(len(arguments))])
    try:
        program = _export(twin, tuple(_doubled(arguments)), names, dynamic=True)
    except _EXPORT_ERRORS:
        # Some modules fix their batch (a reshape to a constant); such a network has the batch of its example.
        try:
            program = _export(twin, arguments, names, dynamic=False)
        except _EXPORT_ERRORS as error:
            raise NetworkError(f"torch cannot export {type(module).__name__}: {_reason(error)}") from error
    return clean(program.model, frozenset(twin.state_dict()))


def _export(
    module: nn.Module, arguments: tuple[Tensor, ...], names: list[str], *, dynamic: bool
) -> torch.onnx.ONNXProgram:
    batch = torch.export.Dim("batch")
    shapes: tuple[object, ...] | None = tuple({0: batch} for _ in arguments) if dynamic else None
    if shapes is not None and any(each.kind is each.VAR_POSITIONAL for each in _parameters(module)):
        shapes = (shapes,)  # torch.export wants what *arguments takes as one tuple
    with _silence():
        program = torch.onnx.export(
            module,
            arguments,
            dynamo=True,
            optimize=False,
            verbose=False,
            input_names=names,
            dynamic_shapes=shapes,
        )
    assert program is not None
    return program


def _parameters(module: nn.Module) -> list[inspect.Parameter]:
    return list(inspect.signature(module.forward).parameters.values())


def _doubled(arguments: Sequence[Tensor]) -> Iterator[Tensor]:
    """A batch of at least 2: torch.export takes 1 for a constant."""
    for argument in arguments:
        if argument.ndim == 0:
            raise NetworkError("example inputs need a batch dimension")
        yield torch.cat((argument, argument)) if argument.shape[0] < 2 else argument


@contextmanager
def _silence() -> Iterator[None]:
    """The exporter prints, warns and logs about things that no user of ours can change."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def _reason(error: BaseException) -> str:
    """The exporter wraps the real error in a page of advice; the innermost cause says it in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line}"[:300]
