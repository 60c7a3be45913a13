"""A network: where it came from, what it takes and gives, and its graph once there is one.

>>> spec = TensorSpec(name="image", shape=("batch", 1, 28, 28), dtype="float32")
>>> spec.concrete(batch=8)
(8, 1, 28, 28)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwise.core.task import Task

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape and element type of an input or output.

    Attributes:
        name: as the graph calls it.
        shape: integers, or a string for a dimension that is free ("batch").
        dtype: NumPy name of the element type ("float32", "int64", ...).
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"

    @property
    def dynamic_batch(self) -> bool:
        """True when the first dimension is free."""
        return bool(self.shape) and isinstance(self.shape[0], str)

    @property
    def form(self) -> str:
        """Element type and shape for messages: "float32 [batch, 3, 224, 224]"."""
        return f"{self.dtype} [{', '.join(map(str, self.shape))}]"

    def admits(self, shape: tuple[int, ...]) -> bool:
        """True when an array of this shape is one of these: free dimensions take any size."""
        return len(shape) == len(self.shape) and all(
            isinstance(want, str) or want == got for want, got in zip(self.shape, shape, strict=True)
        )

    def concrete(self, batch: int = 1) -> tuple[int, ...]:
        """The shape with every free dimension set: the first to `batch`, any other to 1."""
        return tuple(
            dim if isinstance(dim, int) else (batch if axis == 0 else 1) for axis, dim in enumerate(self.shape)
        )


@dataclass(frozen=True, slots=True)
class Source:
    """Where a trainable network is built: a torch factory, its arguments, and trained weights.

    Attributes:
        factory: "package.module:callable"; calling it returns a `torch.nn.Module`.
        arguments: keyword arguments for the call, JSON values only.
        weights: a file with the state_dict (safetensors, .pth, .pt, .th, .bin); None for freshly initialised weights.
    """

    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)
    weights: Path | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """A network with its task. `graph` and `source` may each be absent, not both.

    Attributes:
        name: short name for tables and files.
        inputs: what it takes; outputs: what it gives (empty until a graph exists).
        task: what it is for.
        graph: the ONNX graph, treated as immutable: passes work on a clone.
        source: the torch factory; where it exists it is the truth about parameters and trainability.
        digest: sha256 over the graph and its weights, or over the source and its weights; hex.
        origin: what the user typed to get it (a zoo name, a path, a factory).
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = ()
    task: Task = field(default_factory=Task)
    graph: ir.Model | None = None
    source: Source | None = None
    digest: str = ""
    origin: str = ""

    def __post_init__(self) -> None:
        assert self.graph is not None or self.source is not None, "a network needs a graph or a source"
