"""As small as accuracy allows: a network compressed more and more, until it loses too much.

>>> RATIOS[:3]
(10.0, 20.0, 40.0)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.codec.files import atomic_write
from chipwise.compression.compress import Work, compress
from chipwise.compression.recipe import Target
from chipwise.core.errors import GoalMissedError
from chipwise.core.events import Part, Progress, silent

if TYPE_CHECKING:
    from chipwise.core.compression import Compression
    from chipwise.core.measure import PairedDrop
    from chipwise.core.network import Network
    from chipwise.datasets.dataset import Dataset

RATIOS = (10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)


def smallest(  # noqa: PLR0917 (as `compress`)
    network: Network,
    data: Dataset,
    output: Path,
    folder: Path,
    work: Work,
    max_drop: float,
    *,
    progress: Progress = silent,
) -> Compression:
    """The smallest file of a ladder of sizes whose accuracy on the validation split is within the limit.

    Args:
        network: trained, with its graph.
        data: labelled samples.
        output: the `.cwz` file.
        folder: of what each size and stage left.
        work: its target is ignored.
        max_drop: of the accuracy, 0..1: the 95% upper bound of the drop must not exceed it; 0 asks that no more
            answers are lost than won.
        progress: told what is done.

    Raises:
        GoalMissedError: even the first one loses more. What `compress` raises.
    """
    best: Compression | None = None
    for number, ratio in enumerate(RATIOS):
        part = Part(progress, "compress", number / len(RATIOS), (number + 1) / len(RATIOS))
        place = folder / f"{ratio:g}x"
        tried = place / output.name
        place.mkdir(parents=True, exist_ok=True)
        found = compress(network, data, tried, place, replace(work, target=Target(ratio=ratio)), progress=part)
        drop = found.validation
        progress.note(f"{found.ratio:.0f}x: {drop.lost} answers lost, {drop.won} won of {drop.source.count}")
        if not within(drop, max_drop):
            break
        best = replace(found, target=f"a drop of {max_drop:.3g} at most", path=str(output), met=True)
        atomic_write(output, tried.read_bytes())
    progress.update("compress", 1.0)
    if best is None:
        raise GoalMissedError(
            f"{RATIOS[0]:g}x smaller, {network.name} loses more than {max_drop:.3g}", hint="allow more, or train longer"
        )
    return best


def within(drop: PairedDrop, max_drop: float) -> bool:
    """Whether a drop counts as none above the limit."""
    return drop.drop <= 0 if max_drop == 0 else drop.upper <= max_drop
