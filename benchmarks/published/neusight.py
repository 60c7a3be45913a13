"""NeuSight's networks: latencies of transformers in PyTorch 2.1, fp32, with NeuSight's own predictions beside.

sitar-lab/NeuSight, scripts/asplos/summary (MIT; arXiv 2407.13853). What was timed (neusight/Tracing/trace.py there):
eager code of Hugging Face in fp32 without TF32, after emptying the allocator's cache, the mean of the 5 fastest of 25
runs; training is a forward and a backward pass with dropout, gradients adding up, without an optimizer or the loss.

All rows are held out: profiles come from single kernels (`fit_kernels.py`). The A100 of 80 GB has no profile of its
own and takes that of the 40 GB card with its own peaks. Rows of several devices are left out.

Emptying the cache makes every forward pass ask the driver for its memory anew. In training, where nothing is given back
before the backward pass, that is hundreds of calls; on the machine with the A100 of 80 GB the device waits for them,
most where its memory is nearly full (OPT at batch 2, GPT-3 2.7B). Nothing here prices that; `neusight_training.py`
tells how much of the miss it is.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from chipwise.core.estimate import Workload
from chipwise.cost.ops import Op
from chipwise.devices.known import device
from published import kernels
from published.choose import chosen
from published.errors import Error
from published.pricing import priced
from published.transformers import NETWORKS, forward, training

TABLE = "NeuSight"
FILE = "neusight_models_e2e.csv"
DEVICES = {**kernels.DEVICES, "NVIDIA_A100_80GB_PCIe": "A100 PCIe 80GB"}


def errors(tables: Path) -> list[Error]:
    """One record a row of one device in `tables`, their folder."""
    found = []
    for row in read(tables):
        compiled = " compiled" if row["option"] == "fusion" else ""
        name = f"{row['model']} batch {row['batch']} {row['mode']}{compiled}"
        error = record(row, name, operations(row), float(row["measured_e2e_ms"]) / 1e3)
        found.append(replace(error, published_s=float(row["neusight_e2e_ms"]) / 1e3))
    return found


def operations(row: Mapping[str, str]) -> list[Op]:
    """What the row's network runs."""
    net, batch, length = NETWORKS[row["model"]], int(row["batch"]), int(row["seqlen"])
    return training(net, batch, length) if row["mode"] == "train" else forward(net, batch, length)


def read(tables: Path) -> list[dict[str, str]]:
    """Lines of one device; "fusion" is torch.compile."""
    with (tables / FILE).open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["option"] in ("", "fusion")]


def record(row: Mapping[str, str], name: str, ops: Sequence[Op], measured_s: float) -> Error:
    """The record of some operations of a row."""
    card = device(DEVICES[row["device"]])
    compiled = row["option"] == "fusion"
    profile = chosen(card, Workload(compiled=compiled))  # operations of training hold their backward pass
    return Error(
        table=TABLE,
        device=card.name,
        row=name,
        predicted_s=priced(ops, card, profile),
        measured_s=measured_s,
        zero_shot=card.name not in profile.devices[:1],
        note="the eager profile with elementwise kernels merged" if compiled else "",
    )
