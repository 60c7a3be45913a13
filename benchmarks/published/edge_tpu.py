"""Latency of networks on the Coral Edge TPU beside what chipwise's model of systolic arrays says.

Published: coral.ai/docs/edgetpu/benchmarks, table 1 (milliseconds of one inference, TensorFlow Lite, int8, batch 1).
Rows whose family `held_out` names were used for nothing; the link's rates and the time of an invocation were fitted on
the others.

    python -m published.edge_tpu        # in benchmarks/

>>> row = next(row for row in PUBLISHED if row.network == "mobilenet-v1")
>>> row.usb_ms, row.board_ms
(2.4, 2.4)
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chipwise.core.device import Device
from chipwise.core.estimate import Interval, Workload
from chipwise.core.layer import Layer
from chipwise.cost.systolic import seconds
from chipwise.devices.known import device
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load
from published.split import held_out

SOURCE = "coral.ai/docs/edgetpu/benchmarks, table 1"
# Half-width of the interval as a factor. It holds for the chip alone: five of the six fitted rows lie inside that are
# not about the host's processor or contradict others, and rows with a `why` are further off.
SPREAD = 1.3


@dataclass(frozen=True, slots=True)
class Published:
    """One network: in the zoo's name, milliseconds with the USB accelerator and on the Dev Board."""

    network: str
    usb_ms: float
    board_ms: float
    why: str = ""


ENDS_ON_HOST = "the host's processor runs the end of the network, at a speed that is not known here"
PUBLISHED = (
    Published("unet-mobilenet-v2", 3.3, 5.7, ENDS_ON_HOST),
    Published("deeplab-v3-mobilenet-v2", 52, 241, ENDS_ON_HOST),
    Published(
        "densenet121", 20, 25, "six times as slow as a network of half its work, GoogLeNet; why is not published"
    ),
    Published("googlenet", 3.4, 4.1),
    Published("inception-v4", 85, 102),
    Published("inception-resnet-v2", 57, 69, "30% more weights than Inception v4 in 33% less time: beyond USB 3.0"),
    Published("mobilenet-v1", 2.4, 2.4),
    Published("mobilenet-v2", 2.6, 2.6),
    Published("mobilenet-v1-ssd", 6.5, 11, ENDS_ON_HOST),
    Published("mobilenet-v2-ssd", 7.2, 14, ENDS_ON_HOST),
    Published("resnet50:size=299", 49, 56),
    Published("resnet152:size=299", 128, 151),
    Published("squeezenet1.0", 2.1, 2.0),
    Published("vgg16", 296, 343),
    Published("vgg19", 308, 357),
)


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """A published latency and the prediction, in milliseconds; `why` says what is known to be left out."""

    network: str
    host: str
    published_ms: float
    predicted_ms: Interval
    held_out: bool
    why: str

    @property
    def error(self) -> float:
        """Relative error of the middle."""
        assert self.predicted_ms.mid is not None
        return self.predicted_ms.mid / self.published_ms - 1


def edge_tpu_rows(networks: Sequence[str] = ()) -> list[EdgeRow]:
    """Predict every published row, or those of some networks (torch is needed for the sizes that do not ship)."""
    usb = device("Coral Edge TPU")
    board = replace(usb, name="Coral Dev Board", host_link="PCIe 2.0 x1")
    found = []
    for row in PUBLISHED:
        if networks and row.network not in networks:
            continue
        layers = layer_rows(load(row.network), 1)
        for chip, published in ((usb, row.usb_ms), (board, row.board_ms)):
            mid = 1e3 * predicted_s(layers, chip)
            interval = Interval(mid / SPREAD, mid, mid * SPREAD)
            found.append(EdgeRow(row.network, chip.name, published, interval, held_out(row.network), row.why))
    return found


def predicted_s(layers: Sequence[Layer], chip: Device) -> float:
    """Seconds of one inference in int8."""
    return sum(row.time_s for row in seconds(layers, chip, Workload(precision="int8")))


def summed_up(rows: Sequence[EdgeRow]) -> dict[str, float]:
    """Median and mean error, and the share of published latencies inside their intervals."""
    errors = [abs(row.error) for row in rows]
    return {
        "rows": len(rows),
        "median": statistics.median(errors),
        "mean": statistics.fmean(errors),
        "covered": statistics.fmean(row.predicted_ms.covers(row.published_ms) for row in rows),
    }


def main() -> None:
    """Print the table, then one JSON document."""
    rows = edge_tpu_rows()
    for row in rows:
        half = "held out" if row.held_out else "fitted"
        shown = f"{row.published_ms:7.1f} ms published {row.predicted_ms.mid:7.1f} predicted {row.error:+5.0%}"
        print(f"{row.network:24} {row.host:16} {half:8} {shown}  {row.why}")
    plain = [row for row in rows if not row.why]
    document = {
        "held_out": summed_up([row for row in rows if row.held_out]),
        "fitted": summed_up([row for row in rows if not row.held_out]),
        "held_out_plain": summed_up([row for row in plain if row.held_out]),
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
