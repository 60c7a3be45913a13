"""The what-if page: choices on one side, what they lead to on the other, drawn by Chart.js, which is bundled.

>>> page = what_if_page(Offered((), (), (), (), ()), {"network": "lenet5", "on": "here"}, 10, 20)
>>> "lenet5 on here" in page.html, "cdn" in page.html
(True, False)
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chipwise.views.strict_page import strict_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chipwise.views.strict_page import StrictPage

Group = tuple[str, "Sequence[tuple[str, str]]"]  # a heading; what is sent and what is shown of each

_STYLES = ("report.css", "what_if.css")
# Each uses those before it.
_SCRIPTS = ("numbers.js", "chart.umd.min.js", "what_if_choices.js", "what_if_charts.js", "what_if.js")
_STAGES = (
    ("0", "nothing"), ("1", "1: optimizer's state"), ("2", "2: gradients too"), ("3", "3: weights too (FSDP)"),
)  # fmt: skip
_SWITCHES = (
    ("compiled", "compiled (fuses layers)", False), ("channels_last", "channels last", False),
    ("checkpointing", "checkpointing", True),
)  # fmt: skip
_CHARTS = (
    (
        "roofline", "Every layer under the roof",
        "Point at a dot for its layer, or use the arrow keys; a dot's area is its share of the time.",
    ),
    ("scaling", "More of them", "Point at a mark, or use the arrow keys; the pale band is the interval."),
    (
        "offers", "All devices",
        "Point at a dot for its device, or use the arrow keys; a click or Enter chooses it. Those that another one "
        "beats in both are pale.",
    ),
)  # fmt: skip
_MEASURES = (("rent", "rent"), ("buy", "price"), ("energy", "energy"))


@dataclass(frozen=True, slots=True)
class Offered:
    """What can be chosen from.

    Attributes:
        networks, devices: by group.
        links, precisions, optimizers: names.
    """

    networks: Sequence[Group]
    devices: Sequence[Group]
    links: Sequence[str]
    precisions: Sequence[str]
    optimizers: Sequence[str]


def what_if_page(offered: Offered, usual: Mapping[str, Any], most_devices: int, most_items: int) -> StrictPage:
    """The page.

    Args:
        offered: what can be chosen from.
        usual: what is chosen at first, by name; numbers and switches too.
        most_devices: that may be asked for.
        most_items: in a batch.
    """
    chosen = defaultdict(str, {name: "" if value is None else str(value) for name, value in usual.items()})
    return strict_page(
        "what_if.html.j2",
        _STYLES,
        _SCRIPTS,
        usual=chosen,
        networks=offered.networks,
        devices=offered.devices,
        links=[("", "the usual link"), *((name, name) for name in offered.links)],
        precisions=[("", "usual on the device"), *((name, name) for name in offered.precisions)],
        optimizers=[("", "usual (adamw)"), *((name, name) for name in offered.optimizers)],
        stages=_STAGES,
        switches=_SWITCHES,
        charts=_CHARTS,
        measures=_MEASURES,
        most_devices=most_devices,
        most_items=most_items,
    )
