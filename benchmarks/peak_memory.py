"""How well the peak memory of inference is predicted: 16 networks, batch 1 and 8, ONNX Runtime and OpenVINO, float32.

    python benchmarks/peak_memory.py
    python benchmarks/peak_memory.py resnet50 vgg16 --batch 1

Every network is exported with random weights, then a fresh process loads the file and runs it three times; its largest
resident set (VmHWM of Linux) stands beside `chipwise.cost.memory.memory_of`. Errors are given of the whole process and
of what it grew by after importing the runtime. Networks whose families benchmarks/published/split.py holds out were not
used to fit anything. Memory hardly depends on what else the machine does.

The last line on stdout is one JSON document; progress goes to stderr. Exit code 1 when the median error of the whole
process is above 10%.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import onnx_ir

from chipwise.core.device import Device
from chipwise.core.estimate import Workload
from chipwise.cost.memory import memory_interval, memory_of
from chipwise.networks.export import with_graph
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load
from document import command_line, give, here
from published.split import held_out

NETWORKS = (
    *("squeezenet1.0", "squeezenet1.1", "mobilenet-v1", "mobilenet-v2", "googlenet", "densenet121", "resnet18"),
    *("resnet50", "resnet101", "inception-v3", "vgg16", "alexnet", "darknet19", "yolov3-tiny", "unet-mobilenet-v2"),
    "bert-base",
)
RUNTIMES = ("onnxruntime", "openvino")
CPU = Device("this machine", "cpu")
# Runs in a process of its own: prints resident bytes after the import and the most there ever were.
PROBE = """
import json, sys
import numpy as np

def resident(key):
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return 1024 * int(lines[key].split()[0])

runtime, path, batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
if runtime == "onnxruntime":
    import onnxruntime as ort
    imported = resident("VmRSS")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": bool}
    feed = {
        given.name: np.ones([size if isinstance(size, int) else batch for size in given.shape], types[given.type])
        for given in session.get_inputs()
    }
    run = lambda: session.run(None, feed)
else:
    import openvino as ov
    imported = resident("VmRSS")
    core = ov.Core()
    model = core.read_model(path)
    model.reshape({
        given.any_name: [size.get_length() if size.is_static else batch for size in given.partial_shape]
        for given in model.inputs
    })
    compiled = core.compile_model(
        model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    )
    feed = [np.ones(list(given.shape), given.element_type.to_dtype()) for given in compiled.inputs]
    run = lambda: compiled(feed)
for _ in range(3):
    run()
print(json.dumps({"imported": imported, "peak": resident("VmHWM")}))
"""


def main() -> int:
    """Measure and compare; 0 when the median error is at most 10%."""
    options = parse()
    results: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.networks:
            path = Path(folder) / f"{name}.onnx"
            graph = with_graph(load(name)).graph
            assert graph is not None, f"{name} has no graph"
            path.write_bytes(onnx_ir.serde.serialize_model(graph).SerializeToString())
            for batch in options.batch:
                for runtime in RUNTIMES:
                    results.append(compare(name, path, runtime, batch))
                    print(json.dumps(results[-1]), file=sys.stderr, flush=True)
            path.unlink()
    summary = {
        f"{runtime}, {'held out' if held else 'fitted'}": summed_up(results, runtime, held)
        for runtime in RUNTIMES
        for held in (False, True)
    }
    median = statistics.median(abs(float(str(each["error"]))) for each in results)
    document = {
        **here(),
        "results": results,
        "summary": summary,
        "median_error": median,
        "ok": median <= 0.1,
    }
    give("peak_memory", document, options.output)
    return 0 if document["ok"] else 1


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = command_line(__doc__)
    parser.add_argument("networks", nargs="*", default=NETWORKS, help="networks of the zoo")
    parser.add_argument("--batch", type=int, nargs="*", default=(1, 8))
    return parser.parse_args()


def compare(name: str, path: Path, runtime: str, batch: int) -> dict[str, object]:
    """Measure one process and predict it."""
    command = [sys.executable, "-c", PROBE, runtime, str(path), str(batch)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    seen = json.loads(done.stdout.splitlines()[-1])
    rows, workload = layer_rows(load(name), batch), Workload(batch=batch, compiled=True, runtime=runtime)
    use = memory_of(rows, CPU, workload)
    grown, predicted = seen["peak"] - seen["imported"], use.device_bytes - seen["imported"]
    return {
        "network": name,
        "held_out": held_out(name),
        "runtime": runtime,
        "batch": batch,
        "measured_bytes": seen["peak"],
        "predicted_bytes": use.device_bytes,
        "imported_bytes": seen["imported"],
        "parts": asdict(use),
        "error": use.device_bytes / seen["peak"] - 1,
        "growth_error": predicted / grown - 1,
        "covered": memory_interval(rows, CPU, workload).covers(seen["peak"]),
    }


def summed_up(results: Sequence[dict[str, object]], runtime: str, held: bool) -> dict[str, object]:
    """Median, mean and largest errors, and how many intervals held, of one runtime and half."""
    chosen = [each for each in results if each["runtime"] == runtime and each["held_out"] is held]
    if not chosen:
        return {"rows": 0}
    whole = sorted(abs(float(str(each["error"]))) for each in chosen)
    grown = sorted(abs(float(str(each["growth_error"]))) for each in chosen)
    return {
        "rows": len(chosen),
        "median": statistics.median(whole),
        "mean": statistics.fmean(whole),
        "largest": whole[-1],
        "median_growth": statistics.median(grown),
        "mean_growth": statistics.fmean(grown),
        "covered": sum(bool(each["covered"]) for each in chosen) / len(chosen),
    }


if __name__ == "__main__":
    sys.exit(main())
