"""One computational graph, five ways to differentiate it: NumPy by hand, torch, torch.compile, Keras and JAX.

    python recipes/graphs.py [--quick] [--json]

1. c = sum(x * y + z), N, D = 3, 4: the gradients by x, y and z.
2. A regression with two layers, N, D, H = 64, 1000, 100 (ReLU, mean squared error, 50 steps of SGD): the same loss and
   the same weights from each, the time of a step, and what torch.compile fused.
3. A graph with a branch, y = x.w1 if z > 0 else x.w2, N, D, H = 3, 4, 5: torch.cond, exported as ONNX's If, and run by
   every runtime that is installed. What a runtime refuses is said, with its reason.

What is not installed is left out, and said so.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import logging
import os
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # more would fork, which JAX's threads do not survive

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from chipwise import runtimes
from chipwise.cli.ending import errors_said
from chipwise.core.errors import RuntimeUnavailableError

Array = NDArray[np.float32]
Arrays = tuple[Array, ...]
RATE, SEED = 0.5, 0


@dataclass(frozen=True, slots=True)
class Way:
    """One way to compute a graph: its result, gradients (or weights), time, and what is worth saying."""

    name: str
    value: float
    arrays: Arrays
    step_s: float = 0.0
    note: str = ""


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run all three; raises AssertionError where two ways disagree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 steps in the place of 50")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    torch.manual_seed(SEED)
    sums, steps = small_sum(), 5 if options.quick else 50
    layers, branch = regression(steps), conditional()
    agree(sums, 1e-5)
    agree(layers, 1e-3)
    missing = [name for name in ("keras", "jax") if not installed(name)]
    record = {
        "schema": "chipwise.recipe.graphs/1",
        "sum": [said(way) for way in sums],
        "regression": {"steps": steps, "ways": [said(way) for way in layers]},
        "conditional": [asdict(row) for row in branch],
        "not_installed": missing,
    }
    if options.json:
        print(json.dumps(record, indent=2))
    else:
        show(sums, layers, branch, steps, missing)
    return record


# --- c = sum(x * y + z) ---


def small_sum() -> list[Way]:
    """The value and the gradients by x, y and z."""
    generator = np.random.default_rng(SEED)
    x, y, z = (generator.standard_normal((3, 4)).astype(np.float32) for _ in range(3))
    ways = [Way("NumPy, by hand", float((x * y + z).sum()), (y, x, np.ones_like(z)), note="dx = y, dy = x, dz = 1")]
    ways.append(Way("torch", *torch_gradients(torch_sum, (x, y, z))))
    compiled, note = compiled_with_note(torch_sum, (x, y, z))
    ways.append(Way("torch.compile", *torch_gradients(compiled, (x, y, z)), note=note()))
    if installed("keras"):
        ways.append(Way("Keras (torch backend)", *torch_gradients(keras_sum, (x, y, z))))
    if installed("jax"):
        import jax

        value, gradients = jax.jit(jax.value_and_grad(lambda x, y, z: (x * y + z).sum(), (0, 1, 2)))(x, y, z)
        ways.append(Way("JAX, jit", float(value), tuple(map(np.asarray, gradients))))
    return ways


def torch_sum(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """The graph in torch."""
    return (x * y + z).sum()


def keras_sum(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """The graph in keras.ops; with the torch backend the gradient is torch's."""
    from keras import ops

    result: Tensor = ops.sum(ops.add(ops.multiply(x, y), z))
    return result


def torch_gradients(function: Callable[..., Tensor], arrays: Arrays) -> tuple[float, Arrays]:
    """The value of a function and its gradients by all arguments."""
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    value = function(*tensors)
    value.backward()
    return float(value.detach()), tuple(tensor.grad.numpy() for tensor in tensors if tensor.grad is not None)


# --- two layers ---


def regression(steps: int) -> list[Way]:
    """The loss after some steps of SGD, and both weights."""
    rows, width, hidden = 64, 1000, 100
    generator = np.random.default_rng(SEED)
    x, y = (generator.standard_normal((rows, width)).astype(np.float32) for _ in range(2))
    w1 = (generator.standard_normal((width, hidden)) / np.sqrt(width)).astype(np.float32)
    w2 = (generator.standard_normal((hidden, width)) / np.sqrt(hidden)).astype(np.float32)
    ways = [numpy_regression(x, y, w1, w2, steps)]
    ways.append(torch_regression("torch", torch_loss, (x, y, w1, w2), steps))
    compiled, note = compiled_with_note(torch_loss, (x, y, w1, w2))
    ways.append(torch_regression("torch.compile", compiled, (x, y, w1, w2), steps, note))
    if installed("keras"):
        ways.append(keras_regression(x, y, w1, w2, steps))
    if installed("jax"):
        ways.append(jax_regression(x, y, w1, w2, steps))
    return ways


def numpy_regression(x: Array, y: Array, w1: Array, w2: Array, steps: int) -> Way:
    """Forward and backward written out."""
    seconds, loss = [], 0.0
    for _ in range(steps):
        started = time.perf_counter()
        hidden = np.maximum(x @ w1, 0)
        error = hidden @ w2 - y
        loss = float((error**2).mean())
        by_output = 2 * error / error.size
        by_w2 = hidden.T @ by_output
        by_w1 = x.T @ ((by_output @ w2.T) * (hidden > 0))
        w1, w2 = w1 - RATE * by_w1, w2 - RATE * by_w2
        seconds.append(time.perf_counter() - started)
    return Way("NumPy, by hand", loss, (w1, w2), statistics.median(seconds), "4 matrix products and a mask by hand")


def torch_loss(x: Tensor, y: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
    """Two layers and the mean squared error."""
    return ((torch.relu(x @ w1) @ w2 - y) ** 2).mean()


def torch_regression(
    name: str, loss_of: Callable[..., Tensor], arrays: Arrays, steps: int, note: Callable[[], str] = lambda: ""
) -> Way:
    """The same steps with autograd."""
    x, y = (torch.tensor(array) for array in arrays[:2])
    weights = [torch.tensor(array, requires_grad=True) for array in arrays[2:]]
    seconds, loss = [], torch.zeros(())
    for _ in range(steps):
        started = time.perf_counter()
        loss = loss_of(x, y, *weights)
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(RATE * gradient)
        seconds.append(time.perf_counter() - started)
    made = tuple(weight.detach().numpy() for weight in weights)
    return Way(name, float(loss.detach()), made, statistics.median(seconds), note())


def keras_regression(x: Array, y: Array, w1: Array, w2: Array, steps: int) -> Way:
    """Two Dense layers without bias, compiled with SGD and the mean squared error."""
    import keras

    dense = (keras.layers.Dense(w1.shape[1], "relu", use_bias=False), keras.layers.Dense(w2.shape[1], use_bias=False))
    model = keras.Sequential([keras.Input(x.shape[1:]), *dense])
    model.set_weights([w1, w2])
    model.compile(keras.optimizers.SGD(RATE), "mean_squared_error")
    seconds, loss = [], 0.0
    for _ in range(steps):
        model.reset_metrics()  # else the loss is a mean over all steps so far
        started = time.perf_counter()
        loss = float(model.train_on_batch(x, y))
        seconds.append(time.perf_counter() - started)
    return Way("Keras (torch backend)", loss, tuple(model.get_weights()), statistics.median(seconds))


def jax_regression(x: Array, y: Array, w1: Array, w2: Array, steps: int) -> Way:
    """One jitted step: value_and_grad, then the update."""
    import jax
    import jax.numpy as jnp

    def loss_of(weights: tuple[Any, Any]) -> Any:
        return ((jnp.maximum(x @ weights[0], 0) @ weights[1] - y) ** 2).mean()

    @jax.jit
    def step(weights: tuple[Any, Any]) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(weights)
        moved = [weight - RATE * each for weight, each in zip(weights, gradients, strict=True)]
        return loss, tuple(moved)

    weights, seconds, loss = (w1, w2), [], 0.0
    for _ in range(steps):
        started = time.perf_counter()
        loss, weights = jax.block_until_ready(step(weights))
        seconds.append(time.perf_counter() - started)
    kernels = step.lower(weights).compile().as_text().count(" fusion(")
    note = f"XLA: {kernels} fused kernels in the step"
    return Way("JAX, jit", float(loss), tuple(map(np.asarray, weights)), statistics.median(seconds), note)


def compiled_with_note(
    function: Callable[..., Tensor], arrays: Arrays
) -> tuple[Callable[..., Tensor], Callable[[], str]]:
    """A function for torch.compile, and what to say after it ran: how many operations became how many kernels."""
    from torch._dynamo import explain
    from torch._inductor import metrics

    tensors = [torch.tensor(array) for array in arrays]
    torch.compiler.reset()
    nodes = [node for graph in explain(function)(*tensors).graphs for node in graph.graph.nodes]
    operations = sum(node.op.startswith("call_") for node in nodes)
    torch.compiler.reset()
    metrics.reset()
    torch.compile(function)(*tensors)  # no gradient is wanted: forward only
    forward = metrics.generated_kernel_count
    torch.compiler.reset()
    metrics.reset()

    def note() -> str:
        both = metrics.generated_kernel_count
        return f"{operations} operations forward: {forward} generated kernel(s); with the gradient: {both}"

    return torch.compile(function), note


# --- a branch ---


@dataclass(frozen=True, slots=True)
class Branch:
    """What one runtime makes of the conditional: the largest error of both branches, or why it refuses."""

    runtime: str
    error: float | None
    reason: str = ""


class Chooser(nn.Module):
    """y = x.w1 if z > 0 else x.w2, as one graph with both branches in it."""

    def forward(self, x: Tensor, z: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        """[N, D], a number, [D, H] twice, to [N, H]."""
        chosen: Tensor = torch.cond(z > 0, _first, _second, (x, w1, w2))
        return chosen


def _first(x: Tensor, w1: Tensor, _: Tensor) -> Tensor:
    return x @ w1


def _second(x: Tensor, _: Tensor, w2: Tensor) -> Tensor:
    return x @ w2


def conditional() -> list[Branch]:
    """Export once, and run both branches everywhere."""
    generator = np.random.default_rng(SEED)
    x, w1, w2 = (generator.standard_normal(shape).astype(np.float32) for shape in ((3, 4), (4, 5), (4, 5)))
    model = exported(tuple(torch.tensor(each) for each in (x, np.float32(1), w1, w2)))
    rows = []
    for name in runtimes.RUNTIMES:
        try:
            adapter = runtimes.load(name)
            engine = adapter.WAYS.get("fp32", adapter.build_default)(model)  # OpenVINO's default may be bfloat16
            made = [engine.run([x, np.array(z, np.float32), w1, w2])[0] for z in (1, -1)]
        except RuntimeUnavailableError as error:
            rows.append(Branch(name, None, " ".join(str(error).split())))
            continue
        wanted = (x @ w1, x @ w2)
        worst = max(float(np.abs(got - want).max()) for got, want in zip(made, wanted, strict=True))
        assert worst < 1e-5, f"{name} is off by {worst}"
        rows.append(Branch(name, worst))
    return rows


def exported(examples: tuple[Tensor, ...]) -> bytes:
    """The serialized graph; its If has both branches."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    quiet = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(quiet), redirect_stderr(quiet):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(Chooser(), examples, dynamo=True, input_names=["x", "z", "w1", "w2"])
    assert program is not None
    model = program.model_proto
    assert "If" in {node.op_type for node in model.graph.node}, "the branch was lost"
    data: bytes = model.SerializeToString()
    return data


# --- what is said ---


def installed(name: str) -> bool:
    """Whether a library can be imported."""
    return importlib.util.find_spec(name) is not None


def agree(ways: Sequence[Way], tolerance: float) -> None:
    """Every way must give what the first one gives."""
    first = ways[0]
    assert np.isfinite(first.value), f"{first.name} gave {first.value}"
    for way in ways[1:]:
        assert np.isclose(way.value, first.value, rtol=tolerance), f"{way.name}: {way.value}, not {first.value}"
        for got, want in zip(way.arrays, first.arrays, strict=True):
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, err_msg=way.name)


def said(way: Way) -> dict[str, Any]:
    """A way without its arrays."""
    return {"name": way.name, "value": way.value, "step_s": way.step_s, "note": way.note}


def show(sums: list[Way], layers: list[Way], branch: list[Branch], steps: int, missing: list[str]) -> None:
    """Print three tables."""
    console = Console()
    table = Table("way", "c", "", title="c = sum(x * y + z), N, D = 3, 4: gradients equal", title_justify="left")
    for way in sums:
        table.add_row(way.name, f"{way.value:.5f}", way.note)
    console.print(table)
    title = f"Two layers, N, D, H = 64, 1000, 100: weights equal after {steps} steps"
    table = Table("way", f"loss, step {steps}", "median step", "", title=title, title_justify="left")
    for way in layers:
        table.add_row(way.name, f"{way.value:.6f}", f"{way.step_s * 1e3:.3f} ms", way.note)
    console.print(table)
    title = "y = x.w1 if z > 0 else x.w2, as ONNX's If"
    table = Table("runtime", "largest error", "why not", title=title, title_justify="left")
    for row in branch:
        table.add_row(row.runtime, "refused" if row.error is None else f"{row.error:.1e}", row.reason)
    console.print(table)
    console.print("Matrix products are left to a library and are no generated kernels.")
    if missing:
        console.print(f"Not installed, so left out: {', '.join(missing)}.")


if __name__ == "__main__":
    with errors_said():
        main()
