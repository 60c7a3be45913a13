"""Opened plans as a real run would give them: an int8 plan that was timed, and one of another machine."""

from __future__ import annotations

from dataclasses import replace

from chipwise.core.plan import Choice
from chipwise.core.plan_sheet import Exported, MissedPath, PlanSheet, SheetLayer

from . import samples

LAYERS = (
    SheetLayer("features/c1", "Conv", "int8", 2.4e5, 12_000, "compute", 1.2e-6, 4.1e-6, ("features/c1_scale",)),
    SheetLayer("s2", "AveragePool", "fp32", 4.7e3, 24_000, "memory", 1.5e-6, 2.0e-6),
    SheetLayer("c3", "Conv", "fp32", 3.0e5, 30_000, "compute", 2.0e-6, 9.7e-6),
    SheetLayer("a3", "Add", "fp32", 1.6e3, 13_000, "memory", 0.8e-6, None),
    SheetLayer("[red]f6[/red]", "Gemm", "int8", 2.1e4, 11_000, "memory", 0.7e-6, 1.0e-6),
)
MISSED = (
    MissedPath("1 layer kept in float", "wanted, by --keep or to hold the accuracy", 0.54, ("c3",)),
    MissedPath("changes of layout or number format between layers", "keep whole blocks in float, or none", 0.066),
    MissedPath("2 Resize", "nearest or linear by a whole factor is fast", 0.02, ("r1", "r2", "r3", "r4", "r5")),
    MissedPath("the processor has no AMX, which multiplies bf16 and int8 in tiles", "nothing here"),
)


def plan_sheet() -> PlanSheet:
    """Timed here, against measured peaks."""
    choice = Choice("openvino", "int8", 1, quantizer="nncf", kept=("c3",))
    return PlanSheet(
        "demo/lenet5.plan", replace(samples.manifest(), choice=choice, label="lossy"), LAYERS,
        {"int8": 2.61e5, "fp32": 3.06e5}, beside_s=1.2e-6, peaks={"fp32": 3.1e11, "int8": 1.2e12, "fp64": 1.6e11},
        bandwidth_bytes_s=1.6e10, peaks_from="doctor --measure on 2026-01-15", item_s=24.6e-6, denormal_weights=1_204,
        denormal_values={"c3": 17}, missed=MISSED, notes=("the work of Mystery is not known and not counted",),
    )  # fmt: skip


def elsewhere() -> PlanSheet:
    """Neither timed nor with peaks; nothing was missed, and no pass fired."""
    layers = tuple(replace(each, time_s=None, floor_s=None, bound="unknown") for each in LAYERS) * 4
    manifest = replace(samples.manifest(), passes=(), candidates=(), speedup=None)
    return PlanSheet(
        "x.plan", manifest, layers, {"fp32": 6e5}, notes=("layers are not timed: it was compiled on another machine",)
    )


def exported() -> Exported:
    """Two files."""
    return Exported((("out/lenet5.xml", 36_300), ("out/lenet5.bin", 246_900)))


RECORDS = {"plan_sheet": plan_sheet, "plan_sheet_elsewhere": elsewhere, "exported": exported}
