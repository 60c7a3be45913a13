"""Complete records as a real run would give them: LeNet-5 on the digits, made from formulas, the same every time."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
from PIL import Image

from chipwise.core.device import Gpu, Machine, RuntimeStatus
from chipwise.core.epoch import Epoch
from chipwise.core.estimate import Interval
from chipwise.core.layer import Layer, totals
from chipwise.core.ledger import Ledger
from chipwise.core.measure import Accuracy, PairedDrop, Ratio, Timing
from chipwise.core.network import TensorSpec
from chipwise.core.plan import PLAN_SCHEMA, Candidate, Choice, FileFacts, Manifest, SourceFacts
from chipwise.core.report import (
    BenchResult,
    BenchRow,
    CheckResult,
    Doctor,
    Fit,
    Inspection,
    Mistake,
    Prediction,
    Report,
    RunResult,
    Training,
)
from chipwise.core.served import Served, ServedModel
from chipwise.core.task import Preprocess, Task

NAMES = tuple("0123456789")
WRONG = ((8, 1), (9, 5), (3, 9), (8, 1), (4, 7), (5, 9), (1, 8), (7, 4))
IMAGE = TensorSpec("image", ("batch", 1, 32, 32))
SCORES = TensorSpec("scores", ("batch", 10))
VERSIONS = {
    "chipwise": "0.1.0", "numpy": "2.4.6", "onnx": "1.19.0", "onnxruntime": "1.23.2", "openvino": "2025.3.0",
    "torch": "2.13.0",
}  # fmt: skip
MACHINE = Machine(
    cpu="Example Xeon Platinum 8481C @ 2.70GHz",
    architecture="x86_64",
    isa=("amx_bf16", "amx_int8", "avx2", "avx512_bf16", "avx512_vnni", "avx512f", "fma"),
    cores=2,
    logical_cpus=8,
    cache_bytes={"L1d": 49152, "L2": 2097152, "L3": 110100480},
    memory_bytes=8 * 2**30,
    os="Linux 6.1.0",
    python="3.12.11",
)


def timing(median_us: float, spread: float = 0.06, tail: float = 0.5, count: int = 60) -> Timing:
    """A right-skewed distribution around a median in microseconds."""
    steps = [index / 20 for index in range(21)]
    shape = [(q - 0.5) * spread + max(0.0, q - 0.85) ** 2 * tail / 0.0225 for q in steps]
    return Timing(count, tuple(median_us * 1e-6 * (1 + offset) for offset in shape))


def accuracy(correct: int, count: int = 360) -> Accuracy:
    """A share with its Wilson interval."""
    z, share = 1.96, correct / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Accuracy(correct, count, centre - half, centre + half)


def drop(lost: int, won: int, upper: float, needed: int = 0) -> PairedDrop:
    """A paired comparison with a source that is right on 353 of 360."""
    source, candidate = accuracy(353), accuracy(353 - lost + won)
    return PairedDrop(source, candidate, lost, won, (lost - won) / 360, upper, needed, p_value=0.25)


def layer(
    name: str,
    op: str,
    given: tuple[int, ...],
    made: tuple[int, ...],
    parameters: int,
    flops: int,
    **more: object,
) -> Layer:
    """A row whose bytes follow from its shapes, four a value."""
    read = 4 * (math.prod(given) + parameters)
    return Layer(name, op, (given,), (made,), parameters, flops, read, 4 * math.prod(made), **more)  # type: ignore[arg-type]


def inspection() -> Inspection:
    """LeNet-5 of 1998."""
    rows = (
        layer("c1", "Conv", (1, 1, 32, 32), (1, 6, 28, 28), 156, 239904, activation="Tanh"),
        layer("s2", "AveragePool", (1, 6, 28, 28), (1, 6, 14, 14), 12, 5880, activation="Tanh"),
        layer("c3", "Conv", (1, 6, 14, 14), (1, 16, 10, 10), 1516, 303200, activation="Tanh"),
        layer("s4", "AveragePool", (1, 16, 10, 10), (1, 16, 5, 5), 32, 2000, activation="Tanh"),
        layer("c5", "Conv", (1, 16, 5, 5), (1, 120, 1, 1), 48120, 96240, activation="Tanh"),
        layer("flatten", "Flatten", (1, 120, 1, 1), (1, 120), 0, 0),
        layer("f6", "Gemm", (1, 120), (1, 84), 10164, 20328, activation="Tanh"),
        layer("output.rbf", "Gemm", (1, 84), (1, 10), 840, 2530),
    )
    return Inspection("lenet5", "lenet5", 1, (IMAGE,), (SCORES,), rows, totals(rows))


def unknown_inspection() -> Inspection:
    """A network with an operator of unknown work, an unnamed origin and long names."""
    rows = (
        layer("backbone/stage_1/block_0/branch_a/convolution", "Conv",
              (1, 64, 56, 56), (1, 256, 56, 56), 16640, 103563264),
        Layer("/head/CustomNms_7", "com.example::NonMaxSuppressionPlus", ((1, 256, 56, 56),), ((1, 100, 4), (1, 100)),
              read_bytes=3211264, write_bytes=2000, known=False),
    )  # fmt: skip
    return Inspection("detector", "models/detector.onnx", 4, (IMAGE,), (SCORES,), rows, totals(rows))


def compressed_inspection() -> Inspection:
    """The same from a compressed file."""
    columns = {"values": 839, "indices": 3946, "codebooks": 23, "biases": 245, "graph": 56, "task": 39, "headers": 57}
    ledger = Ledger(total=sum(columns.values()), dense=243_360, **columns)
    return replace(inspection(), origin="lenet5.cwz", ledger=ledger)


def confusion() -> tuple[tuple[int, ...], ...]:
    """36 samples a class, eight wrong."""
    table = np.diag([36] * 10)
    for truth, predicted in WRONG:
        table[truth, truth] -= 1
        table[truth, predicted] += 1
    return tuple(tuple(int(value) for value in row) for row in table)


def training(epochs: int = 30) -> Training:
    """A run that settles and overfits a little at its end."""
    history = tuple(
        Epoch(
            number=number,
            train_loss=2.2 * math.exp(-number / 4) + 0.012,
            val_loss=2.1 * math.exp(-number / 4)
            + 0.055
            + 0.0009 * max(0, number - 20)
            + 0.006 * math.sin(number * 2.1),
            val_accuracy=min(0.9896, 1 - 0.85 * math.exp(-number / 3.2) - 0.012 - 0.003 * math.cos(number * 1.7)),
            learning_rate=3e-3 * (1 + math.cos(math.pi * number / epochs)) / 2,
            seconds=0.31 + 0.02 * math.sin(number),
            wait_s=0.012,
            steps=16,
        )
        for number in range(1, epochs + 1)
    )
    best = max(history, key=lambda epoch: epoch.val_accuracy).number
    return Training(
        network="lenet5", data="digits", parameters=60840, folder="demo/train",
        settings={"optimizer": "adamw", "learning_rate": 3e-3, "schedule": "cosine", "batch": 64, "weight_decay": 1e-4,
                  "augment": True, "target": None},
        history=history, best_epoch=best, stopped="epochs done", seconds=sum(epoch.seconds for epoch in history),
        test=accuracy(353), confusion=confusion(), class_names=NAMES, seed=0,
    )  # fmt: skip


def candidates() -> tuple[Candidate, ...]:
    """Twelve, of every status."""
    floor = Interval(6.1e-6, None, None)
    size, small = 247_812, 71_204

    def made(
        choice: Choice, median_us: float, status: str, reason: str, label: str = "close", **more: object
    ) -> Candidate:
        known: dict[str, object] = {
            "size_bytes": size,
            "max_error": 3.1e-7,
            "predicted_s": floor,
            "accuracy": drop(0, 0, 0.0074),
        }
        return Candidate(choice, status, reason, label, timing(median_us), **(known | more))  # type: ignore[arg-type]

    int8 = {"size_bytes": small, "max_error": 0.031}
    return (
        made(Choice("openvino", "fp32", 1), 24.6, "chosen", "fastest of those that keep the accuracy"),
        made(Choice("openvino", "bf16", 1), 25.1, "slower", "1.02× the chosen one's time", "lossy", max_error=0.0041),
        made(Choice("openvino", "fp32", 2), 38.9, "slower", "1.58× the chosen one's time"),
        made(Choice("onnxruntime", "fp32", 1), 43.1, "slower", "1.75× the chosen one's time"),
        made(Choice("onnxruntime", "fp32", 2), 52.0, "slower", "2.11× the chosen one's time"),
        made(Choice("inductor", "fp32", 1), 61.7, "slower", "2.51× the chosen one's time"),
        made(Choice("inductor", "fp32", 2), 88.3, "slower", "3.59× the chosen one's time"),
        made(Choice("onnxruntime", "int8", 1, quantizer="onnxruntime"), 39.4, "slower", "1.60× the chosen one's time",
             "lossy", accuracy=drop(1, 1, 0.0111), **int8),
        made(Choice("openvino", "int8", 1, quantizer="nncf"), 22.9, "rejected",
             "accuracy may drop by 1.62%, allowed is 1.00%; 360 samples are too few to show less, 668 are needed",
             "lossy", accuracy=drop(2, 0, 0.0162, 668), **int8),
        made(Choice("onnxruntime", "int8", 2, quantizer="nncf"), 47.7, "slower", "1.94× the chosen one's time",
             "lossy", accuracy=drop(1, 0, 0.0119), **int8),
        Candidate(Choice("inductor", "bf16", 1), "failed", "torch: 'tanh' not compiled for bfloat16 on this processor"),
        Candidate(Choice("openvino", "int8", 2, quantizer="nncf"), "skipped", "no time left in the budget of 60 s"),
    )  # fmt: skip


def manifest() -> Manifest:
    """The plan that those candidates lead to."""
    return Manifest(
        schema=PLAN_SCHEMA,
        source=SourceFacts("lenet5", "demo/train", "ab" * 32, 60840, 670082, 250_310),
        task=Task(labels=NAMES, preprocess=Preprocess(32, 32)),
        inputs=(IMAGE,), outputs=(SCORES,), goal="latency", max_drop=0.01, seed=0,
        choice=Choice("openvino", "fp32", 1),
        why="openvino fp32 with 1 thread was the fastest of 10 measured that keep the accuracy",
        speedup=Ratio(2.08, 2.01, 2.14, 60), label="close", candidates=candidates(),
        passes=("constant folding: 4 nodes", "average pooling and its scale merged into the next layer: 2 places"),
        machine=MACHINE, versions=VERSIONS, created="2026-01-15T10:30:00Z", needs=("openvino",),
        files={"model.onnx": FileFacts(247_812, "cd" * 32), "sample.npz": FileFacts(4_511, "ef" * 32)},
    )  # fmt: skip


def bench() -> BenchResult:
    """The plan against three defaults and one that does not run."""
    rows = (
        BenchRow("plan", "fp32", timing(24.6)),
        BenchRow("onnxruntime default", "fp32", timing(51.1, 0.09, 0.9), Ratio(2.08, 2.01, 2.14, 60)),
        BenchRow("openvino default", "bf16", timing(25.3, 0.08), Ratio(1.03, 0.99, 1.06, 60), "runs bf16 by default"),
        BenchRow("torch eager", "fp32", timing(142.0, 0.12, 1.4), Ratio(5.77, 5.61, 5.90, 60)),
        BenchRow("inductor default", "", None, None, "no C++ compiler on this machine"),
    )
    return BenchResult("demo/lenet5.plan", "lenet5", 1, rows, 0.031, MACHINE, VERSIONS)


def baseline_bench() -> BenchResult:
    """A noisy run, compared with a baseline file and slower than allowed."""
    return replace(bench(), noise=0.19, regression=1.12, ok=False, reason="allowed is 1.05×")


def check() -> CheckResult:
    """A plan that keeps its accuracy, with eight mistakes."""
    mistakes = tuple(
        Mistake(17 + 41 * index, NAMES[truth], NAMES[predicted], 0.97 - 0.055 * index)
        for index, (truth, predicted) in enumerate(WRONG)
    )
    return CheckResult(
        "demo/lenet5.plan", "digits", "test", drop(1, 0, 0.0119), 0.02, ok=True,
        reason="at most 1.19% lost, allowed is 2.00%",
        class_names=NAMES, confusion=confusion(), mistakes=mistakes,
    )  # fmt: skip


def doctor() -> Doctor:
    """Two usable runtimes and one that is not."""
    runtimes = (
        RuntimeStatus("onnxruntime", usable=True, version="1.23.2", precisions=("fp32",)),
        RuntimeStatus("openvino", usable=True, version="2025.3.0", precisions=("fp32", "bf16")),
        RuntimeStatus(
            "inductor", usable=False, version="2.13.0", reason="no C++ compiler found (looked for g++, clang++)"
        ),
    )
    gpu = Gpu("Example GPU 80GB", 80 * 2**30, "550.54")
    notes = ("8 logical processors are shown, but a quota allows 2: threads above 2 only wait.",)
    return Doctor(replace(MACHINE, gpus=(gpu,)), runtimes, VERSIONS, notes)


def served() -> Served:
    """Two models after a day: one taken away."""
    return Served((ServedModel("lenet5", "3", 1_234_567, 12), ServedModel("unet", "", 90, 0)), 86_400.0)


def run() -> RunResult:
    """Top-k for a picture, and shapes for an array."""
    top = (("mountain bike", 0.6468), ("bicycle-built-for-two", 0.2541), ("unicycle", 0.0612))
    predictions = (Prediction("bike.jpg", top), Prediction("batch.npy", outputs=(TensorSpec("scores", (4, 10)),)))
    return RunResult("resnet.plan", Choice("openvino", "bf16", 2), predictions, 8.31e-3)


def fit() -> Fit:
    """The whole line."""
    return Fit(training(), check(), bench(), "demo/lenet5.plan", 259_112, 250_310, "demo/report.html", 71.3)


def picture(seed: int) -> bytes:
    """A grey 28x28 stroke as PNG."""
    rows, columns = np.mgrid[0:28, 0:28].astype(float)
    phase = 0.7 * seed
    distance = np.hypot(rows - 14, columns - 14) - 8 - 2.5 * np.sin(3 * np.arctan2(rows - 14, columns - 14) + phase)
    pixels = (255 * np.exp(-(distance**2) / 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def report() -> Report:
    """Everything on one page."""
    return Report(
        title="LeNet-5 on handwritten digits", doctor=doctor(), inspection=inspection(), training=training(),
        plan=manifest(), check=check(), bench=bench(), pictures=tuple(picture(index) for index in range(8)),
        created="2026-01-15T10:31:00Z",
    )  # fmt: skip


RECORDS = {
    "inspection": inspection, "inspection_unknown": unknown_inspection,
    "inspection_compressed": compressed_inspection, "training": training, "manifest": manifest,
    "run": run, "served": served, "check": check, "bench": bench, "bench_baseline": baseline_bench, "doctor": doctor,
    "fit": fit,
}  # fmt: skip
