"""NVIDIA DeepLearningExamples: ResNet-50 v1.5, SSD300 and BERT on one V100, T4 or A100, in PyTorch and TensorFlow.

NVIDIA/DeepLearningExamples, README files (collected at 729963dd47). All rows are held out and no profile was fitted on
a network on these devices: fp32 takes profiles of single kernels (PyTorch 2.1), TF32 and mixed precision the profile
that was fitted on timm's tables of an RTX 3090. Rows are those of one GPU whose batch (and length, for BERT) is stated;
of TensorFlow's SSD there are none, as it is another network (a feature pyramid at 640 x 640).

What the rows hold beyond the network: TensorFlow reads and decodes pictures while the GPU works, SSD decodes and sorts
boxes after it, PyTorch's BERT skips padding in long sequences, and software is of 2019 to 2022. TensorFlow's XLA takes
a profile of compiled PyTorch, which is another compiler; its rows are summed up apart.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chipwise.core.device import Device
from chipwise.core.estimate import Workload
from chipwise.core.profile import Profile
from chipwise.cost.ops import Op
from chipwise.devices.known import device
from published.choose import KERNELS, chosen
from published.errors import Error
from published.pricing import priced, zoo_kernels, zoo_operations
from published.transformers import NETWORKS, forward, training

TABLE = "DeepLearningExamples"
FILE = "nvidia_dle_tidy.csv.gz"
# By folder: the network in the zoo, or the sizes of a transformer.
NETWORK_OF = {
    "PyTorch/Classification/ConvNets/resnet50v1.5": "resnet50",
    "TensorFlow/Classification/ConvNets/resnet50v1.5": "resnet50",
    "PyTorch/Detection/SSD": "ssd-resnet50",
    "PyTorch/LanguageModeling/BERT": "bert_large",
    "TensorFlow2/LanguageModeling/BERT": "bert_large",
}
_CARDS = (
    (r"V100 16G", "Tesla V100 SXM2 16GB"),
    (r"V100 32G|With 32G", "Tesla V100 SXM2 32GB"),
    (r"A100 80G", "A100 SXM4 80GB"),
    (r"A100 40G", "A100 SXM4 40GB"),
    (r"T4", "Tesla T4"),
)
_SQUAD_LENGTH = 384  # of its examples, where the table does not say
_MOST = 1024  # larger batches are of several steps whose gradients add up


@dataclass(frozen=True)
class Row:
    """One published rate, read."""

    name: str
    network: str
    card: Device
    workload: Workload
    length: int
    measured_s: float


def calibrating(name: str) -> bool:
    """Whether rows of this name may widen intervals (`widen.py`); the others test them."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 0


def errors(tables: Path) -> list[Error]:
    """One record a row that says what was run on one GPU in `tables`, their folder."""
    with gzip.open(tables / FILE, "rt", newline="") as file:
        rows = [found for line in csv.DictReader(file) if (found := read(line))]
    return [_error(row) for row in rows]


def read(line: Mapping[str, str]) -> Row | None:
    """A line of the table, or None where it is of another network, of several GPUs, or no rate."""
    network = NETWORK_OF.get(line["model_dir"])
    metric = line["metric"].lower()
    wrong = line["kind"] != "offline" or line["gpus"] not in ("", "1") or line["nodes"] not in ("", "1")
    if network is None or wrong or "throughput" not in metric or "scaling" in metric or "speedup" in metric:
        return None
    name = next((card for pattern, card in _CARDS if re.search(pattern, line["device_heading"])), None)
    training = line["mode"] == "train"
    if training and line["gpus"] != "1":
        return None
    mixed = line["precision_guess"].lower() in ("mixed", "fp16")
    batch = batch_of(line["batch"], mixed=mixed)
    rate = float(line["value"] or 0)
    length = int(line["seq_len"] or _SQUAD_LENGTH) if "bert" in network else 0
    if name is None or batch is None or rate <= 0:
        return None
    if "Base" in line["nearest_text"]:
        network = "bert_base"
    compiled = "XLA" in line["nearest_text"] or "XLA" in line["metric"]
    card = device(name)
    full = "tf32" if "A100" in name else "fp32"  # the software's default there, whatever the heading says
    workload = Workload(
        phase="training" if training else "inference",
        batch=batch,
        precision="fp16" if mixed else full,
        techniques=("amp",) if mixed else (),
        compiled=compiled,
    )
    words = (line["framework"], network, f"batch {batch}", *([f"length {length}"] if length else []))
    said = (*words, workload.phase, "mixed" if mixed else full, *(["XLA"] if compiled else []))
    return Row(" ".join(said), network, card, workload, length, batch / rate)


def batch_of(text: str, *, mixed: bool) -> int | None:
    """The batch in a cell; where there are two, the larger one is of mixed precision, which needs less memory.

    >>> batch_of("60 , 32", mixed=True), batch_of("16 and 32", mixed=False), batch_of("", mixed=True)
    (60, 16, None)
    """
    found = [int(each) for each in re.findall(r"\d+", text)]
    if not found or max(found) > _MOST:
        return None
    return max(found) if mixed else min(found)


def operations(row: Row, profile: Profile) -> Sequence[Op]:
    """What a row's network runs; a convolutional one's passes of training are the profile's matter."""
    if row.length:
        net, batch = NETWORKS[row.network], row.workload.batch
        if row.workload.phase == "training":
            return training(net, batch, row.length, head=False)
        return forward(net, batch, row.length)
    of_kernels = profile.name.startswith(KERNELS)
    return (zoo_kernels if of_kernels else zoo_operations)(row.network, row.workload.batch)


def _error(row: Row) -> Error:
    workload = row.workload
    mixed = bool(workload.techniques)
    if row.length:  # its operations hold the backward pass
        workload = Workload(precision=workload.precision, techniques=workload.techniques, compiled=workload.compiled)
    profile = chosen(row.card, workload)
    return Error(
        table=f"{TABLE}, {'XLA' if row.workload.compiled else 'mixed' if mixed else workload.precision}",
        device=row.card.name,
        row=row.name,
        predicted_s=priced(operations(row, profile), row.card, profile),
        measured_s=row.measured_s,
        held_out=not (mixed and not row.workload.compiled and calibrating(row.name)),
        zero_shot=True,
        note=profile.name,
    )
