"""The deployable result of `compile`: what was chosen, what it was chosen from, and the proof.

Reading and writing the file is in `chipwise.codec.plan_file`; its layout is in docs/plan-file.md.

>>> Choice(runtime="onnxruntime", precision="fp32", threads=2).title
'onnxruntime fp32 x2'
>>> Choice(runtime="openvino", precision="bf16", quantizer="nncf").title
'openvino int8+bf16 (nncf) x1'
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from chipwise.core.device import Machine
from chipwise.core.estimate import Interval
from chipwise.core.measure import PairedDrop, Ratio, Timing
from chipwise.core.network import TensorSpec
from chipwise.core.task import Preprocess, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PLAN_SCHEMA = "chipwise.plan/1"
_LISTED_PARTS, _LONG_NAME = 4, 30
Goal = Literal["latency", "throughput", "size", "energy"]
Label = Literal["exact", "close", "lossy"]


@dataclass(frozen=True, slots=True)
class Part:
    """What runs a stretch of a network's nodes, in the order that the plan's graph lists them.

    Attributes:
        runtime: adapter name, or "python" for custom layers.
        precision: number format.
        until: the value at which it ends: the node that makes it is the last one; empty for the end of the graph.
    """

    runtime: str
    precision: str = "fp32"
    until: str = ""

    @property
    def title(self) -> str:
        """Short name: runtime, precision where it has several, and where it ends."""
        own = self.runtime if self.runtime == "python" else f"{self.runtime} {self.precision}"
        short = self.until if len(self.until) <= _LONG_NAME else f"…{self.until[1 - _LONG_NAME :]}"
        return f"{own} to {short}" if short else own


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to run a network.

    Attributes:
        runtime: adapter name ("onnxruntime", "openvino", "inductor").
        precision: number format: "fp32", "bf16", "fp16", "int8", "int4"; "bf16" with a quantizer is that of the layers
            which are not quantized, which else are in fp32.
        threads: threads inside one call; 0 leaves the number and their places to the runtime.
        batch: items per call.
        quantizer: what made the int8 graph ("onnxruntime", "nncf"); empty for the float graph.
        source: True for the source graph as it was, without any pass: the baseline.
        graph: optional passes that the graph went through besides the usual ones, joined by "+"; empty for none.
        kept: layers that stay in float where the rest is quantized.
        streams: calls that run at the same time, each with `threads` threads.
        parts: where the network is cut, and what runs each part; `runtime` and `precision` are then those of most of
            it. Empty where one engine runs all of it.
    """

    runtime: str
    precision: str = "fp32"
    threads: int = 1
    batch: int = 1
    quantizer: str = ""
    source: bool = False
    graph: str = ""
    kept: tuple[str, ...] = ()
    streams: int = 1
    parts: tuple[Part, ...] = ()

    @property
    def format(self) -> str:
        """Number format of the whole: "int8+bf16" where layers are quantized and the others run in bf16."""
        return "int8+bf16" if self.quantizer and self.precision == "bf16" else self.precision

    @property
    def one_thread(self) -> bool:
        """True where a call stays in one thread."""
        return self.threads == self.streams == 1

    @property
    def title(self) -> str:
        """Short name for tables: runtime, number format, and whatever is not as usual."""
        mixed = f", {len(self.kept)} in float" if self.kept else ""
        made = f" ({self.quantizer}{mixed})" if self.quantizer and (self.quantizer != self.runtime or mixed) else ""
        graph = ", source graph" if self.source else f" +{self.graph}" if self.graph else ""
        batch = f" batch {self.batch}" if self.batch != 1 else ""
        threads = f" x{self.threads}" if self.threads else ""
        streams = f" {self.streams} streams" if self.streams != 1 else ""
        runs = f"{self.runtime} {self.format}"
        if len(self.parts) > _LISTED_PARTS:
            runs = f"{len(self.parts)} parts of {', '.join(dict.fromkeys(part.runtime for part in self.parts))}"
        elif self.parts:
            runs = " | ".join(part.title for part in self.parts)
        return f"{runs}{made}{threads}{streams}{batch}{graph}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A choice that was tried, with what was predicted, what was measured, and what became of it.

    Attributes:
        choice: what was tried.
        status: "chosen"; "slower" (measured, not the best); "rejected" (accuracy); "failed" (would not run);
            "skipped" (not tried: no time or no data).
        reason: one line on the status.
        label: "exact", "close" or "lossy"; None when it never ran.
        timing: seconds per call; None when it was not timed.
        predicted_s: predicted seconds per call; None when there is no prediction.
        size_bytes: bytes of the portable graph.
        max_error: largest absolute difference from the oracle on the sample, over the oracle's largest value.
        accuracy: paired with the source network; None when there was no data.
        energy_j: joules an item; None where they were not counted.
    """

    choice: Choice
    status: Literal["chosen", "slower", "rejected", "failed", "skipped"]
    reason: str
    label: Label | None = None
    timing: Timing | None = None
    predicted_s: Interval | None = None
    size_bytes: int | None = None
    max_error: float | None = None
    accuracy: PairedDrop | None = None
    energy_j: float | None = None


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """The network that a plan was made from.

    Attributes:
        name: its name; origin: what the user typed to get it.
        digest: sha256 of its ONNX graph, hex.
        parameters: trainable values; flops: work for one item, 1 multiply-add = 2 FLOPs.
        size_bytes: bytes of its ONNX graph.
        preprocess: what it wants done to pictures that the plan takes as uint8; None where both take the same.
    """

    name: str
    origin: str
    digest: str
    parameters: int
    flops: int
    size_bytes: int
    preprocess: Preprocess | None = None


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Size and sha256 (hex) of one member of the plan file."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a plan says about itself.

    Attributes:
        schema: always PLAN_SCHEMA.
        source: the network it was made from.
        task: what it is for; inputs, outputs: what the portable graph takes and gives.
        goal: what was optimized for; limit_s: the latency that was asked for, None where none was.
        max_drop: accuracy that might be given up, 0..1; None when nothing might.
        seed: of every random choice.
        choice: how to run it; why: in one sentence.
        speedup: over the baseline (ONNX Runtime's default on the source network), from interleaved rounds.
        label: "exact", "close" or "lossy" against the source network.
        candidates: everything that was tried.
        passes: graph passes that changed something, in order, each with what it did.
        machine: where it was measured; versions: of the libraries that ran.
        created: UTC time, ISO 8601.
        needs: libraries that loading the engine needs beyond the light install.
        complete: False for a best-so-far plan whose search was interrupted.
        noise: the baseline over itself in the final measurement; None where it was not timed twice.
        unmet: why the goal was missed; empty where it was met.
        files: members of the plan file with sizes and hashes.
    """

    schema: str
    source: SourceFacts
    task: Task
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    goal: Goal
    max_drop: float | None
    seed: int
    choice: Choice
    why: str
    speedup: Ratio | None
    label: Label
    candidates: tuple[Candidate, ...]
    passes: tuple[str, ...]
    machine: Machine
    versions: dict[str, str]
    created: str
    needs: tuple[str, ...] = ()
    complete: bool = True
    limit_s: float | None = None
    noise: Ratio | None = None
    unmet: str = ""
    files: dict[str, FileFacts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A manifest, the portable ONNX graph, and a sample with the output to expect.

    Attributes:
        manifest: what the plan says about itself.
        model: the portable optimized graph, serialized ONNX.
        sample_inputs: one array per input; expected_outputs: one array per output, from the chosen engine.
    """

    manifest: Manifest
    model: bytes
    sample_inputs: tuple[NDArray[np.generic], ...]
    expected_outputs: tuple[NDArray[np.generic], ...]
