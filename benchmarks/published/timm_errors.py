"""timm's tables, predicted by shipped profiles, by some that never saw the device, and with three scalars.

Records are of held-out families, unless `fitting` asks for the others too. `zero_shot` marks devices that nothing was
fitted on. Three scalars (compute, bandwidth, launch) are fitted per device to the first 20 networks of the fitting half
by the hash of their names.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize

from chipwise.core.device import Device
from chipwise.core.errors import DataError
from chipwise.core.estimate import Workload
from chipwise.core.profile import Profile, Scales
from chipwise.cost.estimate import timed_ops
from chipwise.cost.execution import planned
from chipwise.cost.model import prices, rates, step_s
from chipwise.devices.profiles import FOLDER, profile_for, read_profile
from published.errors import Error
from published.fit_timm import card
from published.split import held_out
from published.timm import Row, Table, ops_at, read_table, read_traces

TRACES = "op_traces_fp16_bs2.jsonl.gz"
SCALAR_NETWORKS = 20
# Before fused attention came with PyTorch 2.0, it was two products and a softmax.
_FUSED_ATTENTION = 200


def errors(folder: Path, *, fitting: bool = False) -> list[Error]:
    """Records of every table in a folder, by every profile that can say something about it."""
    traces = read_traces(folder / TRACES)
    found: list[Error] = []
    for path in sorted(folder.glob("benchmark-*.csv")):
        table = read_table(path)
        found += table_errors(table, traces, fitting=fitting)
        for claim in _claims(table):
            found += table_errors(table, traces, claim, name=f"{table.name} (3090 only)", fitting=fitting)
            found += scaled_errors(table, traces, claim)
    return found


def table_errors(
    table: Table,
    traces: Mapping[str, list[Any]],
    profile: Profile | None = None,
    *,
    name: str = "",
    fitting: bool = False,
    every: bool = False,
) -> list[Error]:
    """Records of one table.

    Args:
        table: measurements.
        traces: operations by network and size.
        profile: to predict with; None for the shipped one that is nearest.
        name: of the group of records; the table's by default.
        fitting: also rows of the fitting half.
        every: all rows are held out, as of a device that nothing was fitted on.

    Raises:
        DataError: no profile is for the device, or no row has a trace.
    """
    machine = card(table.device)
    profile = profile or chosen(table, machine)
    rows = [row for row in table.rows if row.key in traces]
    if not rows:
        raise DataError(f"none of the networks of {table.name} has a trace", hint="give one with --traces")
    elsewhere = machine.name not in profile.devices
    found = []
    for row in rows:
        out = every or elsewhere or held_out(row.model)
        if out or fitting:
            predicted, _, _ = timed_ops(ops_at(traces[row.key], row.batch), machine, profile)
            found.append(
                Error(
                    table=name or table.name,
                    device=machine.name,
                    row=f"{row.key} batch {row.batch}",
                    predicted_s=predicted,
                    measured_s=row.measured_s,
                    held_out=every or held_out(row.model),
                    zero_shot=elsewhere,
                    note=profile.name,
                )
            )
    return found


def scaled_errors(table: Table, traces: Mapping[str, list[Any]], profile: Profile) -> list[Error]:
    """Records of the held-out families after three scalars were fitted to 20 networks of the device."""
    machine = card(table.device)
    rows = [row for row in table.rows if row.key in traces]
    scales = scalars(sample(rows), traces, machine, profile)
    found = []
    for row in rows:
        if held_out(row.model):
            predicted, _, _ = timed_ops(ops_at(traces[row.key], row.batch), machine, profile, scales)
            name = f"{table.name} (3 scalars)"
            label = f"{row.key} batch {row.batch}"
            found.append(Error(name, machine.name, label, predicted, row.measured_s, note=str(scales)))
    return found


def sample(rows: Sequence[Row]) -> list[Row]:
    """The networks that scalars are fitted to: of the fitting half, spread by a hash of their names."""
    mine = [row for row in rows if not held_out(row.model)]
    return sorted(mine, key=lambda row: hashlib.sha256(f"scalars {row.key}".encode()).digest())[:SCALAR_NETWORKS]


def scalars(rows: Sequence[Row], traces: Mapping[str, list[Any]], machine: Device, profile: Profile) -> Scales:
    """Compute, bandwidth and launch times what the profile expects of the device; held near 1 by a weak prior."""
    runs = [planned(ops_at(traces[row.key], row.batch), profile) for row in rows]
    measured = np.log([row.measured_s for row in rows])

    def wrong(logs: np.typing.NDArray[np.float64]) -> np.typing.NDArray[np.float64]:
        scales = Scales(*(math.exp(each) for each in logs))
        peaks = rates(machine, profile, scales)
        made = [step_s(prices(run, peaks, profile, scales), profile, scales) for run in runs]
        return np.concatenate([(np.log(made) - measured) / 0.05, logs / 0.7])

    done = optimize.least_squares(wrong, np.zeros(3), loss="soft_l1", diff_step=0.02)
    return Scales(*(float(math.exp(each)) for each in done.x))


def chosen(table: Table, machine: Device) -> Profile:
    """The nearest shipped profile, with attention as that version of the software ran it.

    Raises:
        DataError: none is for such a device.
    """
    techniques = ("amp", *(("channels_last",) if table.layout == "nhwc" else ())) if table.precision == "amp" else ()
    workload = Workload(
        phase="training" if table.phase == "training" else "inference",
        precision="fp16" if table.precision == "amp" else table.precision,
        compiled=table.compiled,
        runtime="torch",
        techniques=techniques,
    )
    profile, notes = profile_for(machine, workload)
    if profile is None:
        raise DataError(f"no profile is for {machine.name}: {' '.join(notes)}")
    version = int(table.torch) if table.torch else _FUSED_ATTENTION
    return replace(profile, attention="plain") if version < _FUSED_ATTENTION else profile


def _claims(table: Table) -> list[Profile]:
    """Profiles fitted on one device alone, that this table can prove on another."""
    if table.compiled or table.phase == "training" or table.precision != "amp":
        return []
    layout = "nhwc-" if table.layout == "nhwc" else ""
    path = FOLDER / f"torch-gpu-amp-{layout}rtx3090.json"
    if not path.is_file() or int(table.torch or 0) < 240:
        return []
    return [read_profile(path)]
