"""Whether `doctor --measure` finds the matrix product's speed that a plain measurement finds, in the same run.

    python benchmarks/peaks.py

Plain means: the library's own call, many times in a row, the median. PyTorch in fp32 and bf16 (`a @ b`), OpenVINO in
fp32 and bf16 (a compiled MatMul), each at the sizes that doctor tries, the best size. Doctor's measurement and the
plain one take turns, so that whatever else the machine does hits both alike.

The last line on stdout is one JSON document; progress goes to stderr. Exit code 1 when they differ by more than 10%.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import openvino
import torch

from chipwise.clock.arithmetic import SIZES, fastest
from chipwise.devices.detect import detect
from chipwise.runtimes.arithmetic import Product
from chipwise.runtimes.products import native, products
from document import command_line, give, here

LIMIT = 0.10
ROUNDS = 5
WANTED = (("torch", "fp32"), ("torch", "bf16"), ("openvino", "fp32"), ("openvino", "bf16"))


def main() -> int:
    """Measure both ways; 0 when they agree."""
    options = parse()
    machine = detect()
    known = {(each.through, each.format): each for each in products(machine) if each.work == "product"}
    results = [compare(known[key], options.seconds) for key in WANTED if key in known]
    for row in results:
        row["native"] = native(str(row["format"]), machine)
    document = {
        **here(),
        "results": results,
        "ok": all(abs(float(str(row["ratio"])) - 1) <= LIMIT for row in results),
    }
    give("peaks", document, options.output)
    return 0 if document["ok"] else 1


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = command_line(__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement, both ways")
    return parser.parse_args()


def compare(product: Product, seconds: float) -> dict[str, object]:
    """Doctor's rate and the plain one, in turns; medians of both."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        found = fastest(product.make, product.operations, "product", deadline_s=seconds)
        assert found is not None, f"{product.through} has no {product.format} product"
        size, best = found
        ours.append(best.rate)
        theirs.append(max(plain(product, each, seconds / len(SIZES["product"])) for each in SIZES["product"]))
        print(product.through, product.format, size, f"{ours[-1]:.4g} {theirs[-1]:.4g}", file=sys.stderr)
    mine, other = statistics.median(ours), statistics.median(theirs)
    return {
        "through": product.through, "format": product.format, "doctor_flops": mine, "plain_flops": other,
        "ratio": mine / other, "rounds": [list(pair) for pair in zip(ours, theirs, strict=True)],
    }  # fmt: skip


def plain(product: Product, size: int, seconds: float) -> float:
    """Operations per second by the library's own call; the median of calls."""
    call = (plain_torch if product.through == "torch" else plain_openvino)(product.format, size)
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(times)


def plain_torch(format_: str, size: int) -> Callable[[], object]:
    """`a @ b` in PyTorch."""
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[format_]
    left, right = (torch.randn(size, size).to(kind) for _ in range(2))
    return lambda: left @ right


def plain_openvino(format_: str, size: int) -> Callable[[], object]:
    """A MatMul with constant weights, compiled by OpenVINO with an explicit precision."""
    opset = importlib.import_module("openvino.opset13")
    left, right = np.random.default_rng(0).standard_normal((2, size, size)).astype(np.float32)
    parameter = opset.parameter((size, size), np.float32)
    model = openvino.Model([opset.matmul(parameter, opset.constant(right), False, False)], [parameter])
    hint = {"fp32": "f32", "bf16": "bf16"}[format_]
    settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(left, shared_memory=True))

    def infer(kept: object = left) -> object:  # shared with the request, which does not hold on to it
        request.infer()
        return kept

    return infer


if __name__ == "__main__":
    sys.exit(main())
