"""vTrain's measured steps: which rows are held out, how predictions move, and that they are as near as is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

import published_meshes
from published import nccl, vtrain
from published.vtrain import NUMBERS, Row, predicted

LINK = 218e9
ROW = Row(gpus=2, batch=32, micro=8, hidden=2048, layers=24, tensor=1, copies=2, stages=1, step_s=0.963)
NAMES = (
    "# GPUs,global batch,micro batch,hidden size,attention heads,# layers,sequence length,tensor parallelism,"
    "data parallelism,pipeline parallelism,iteration time (ms),gpu"
)


def test_rows_are_read(tmp_path: Path) -> None:
    (tmp_path / vtrain.FILE).write_text(f"{NAMES}\n2,32,8,2048,16,24,1024,1,2,1,963.0,A100\n")
    assert vtrain.read(tmp_path) == [ROW]


def test_predictions_move_as_they_must() -> None:
    alone = predicted(ROW, NUMBERS, LINK)
    assert predicted(ROW, replace(NUMBERS, peak=0.5), LINK) > alone
    assert predicted(ROW, NUMBERS, LINK / 10) > alone
    piped = predicted(replace(ROW, copies=1, stages=2, batch=16), NUMBERS, LINK)
    assert piped == pytest.approx(0.75 * alone, rel=0.1)  # half of the layers, three micro-batches long
    few = replace(ROW, hidden=1024, micro=1, batch=2)
    assert predicted(few, replace(NUMBERS, host_s=2 * NUMBERS.host_s), LINK) > 1.5 * predicted(few, NUMBERS, LINK)


def test_numbers_are_found_again() -> None:
    wanted = replace(NUMBERS, peak=0.5, host_s=2e-3)
    rows = [
        replace(ROW, hidden=hidden, micro=micro, batch=32, layers=layers, tensor=3 - copies, copies=copies)
        for hidden in (1024, 2048) for micro in (1, 8) for layers in (12, 24) for copies in (1, 2)
    ]  # fmt: skip
    rows = [replace(row, step_s=predicted(row, wanted, LINK)) for row in rows]
    found = vtrain.fit(rows, LINK)
    assert all(predicted(row, found, LINK) == pytest.approx(row.step_s, rel=0.02) for row in rows)


def test_picture_and_groups() -> None:
    ratios = {ROW: 1.0, replace(ROW, gpus=4, tensor=2): 1.1, replace(ROW, gpus=8, stages=4): 0.8}
    found = published_meshes.summaries(ratios)
    assert found["held out"]["mean"] == pytest.approx(0.15)
    assert found["held out, tensor x copies"]["rows"] == 1
    assert b"<svg" in published_meshes.picture(ratios, ".svg")


@pytest.mark.shared
def test_steps_on_more_gpus_follow_from_those_on_two(shared_data: Path) -> None:
    tables = shared_data.parent / "reference" / "tables"
    if not (tables / vtrain.FILE).is_file():
        pytest.skip("no reference tables beside this checkout")
    link = nccl.fit([row for row in nccl.read(tables)["A100"] if row[0] == nccl.FITTED]).bytes_s
    held = [row for row in vtrain.read(tables) if row.gpus != vtrain.FITTED]
    off = [abs(predicted(row, NUMBERS, link) / row.step_s - 1) for row in held]
    assert len(off) == 1200
    assert median(off) < 0.06
    assert sum(off) / len(off) < 0.08
