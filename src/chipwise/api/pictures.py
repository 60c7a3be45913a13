"""Pictures of networks: the graph that `inspect` draws.

>>> from pathlib import Path
>>> check_picture(Path("a.svg")).suffix
'.svg'
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chipwise.core.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from chipwise.core.network import Network
    from chipwise.core.report import Inspection


def check_picture(path: Path) -> Path:
    """Refuse what cannot be written before any work is done.

    Raises:
        InputError: it is no .svg or .html file, or its folder does not exist.
    """
    if path.suffix.lower() not in (".svg", ".html"):
        raise InputError(f"a graph cannot be drawn into {path.name!r}", hint="give a file that ends in .svg or .html")
    if not path.resolve().parent.is_dir():
        raise InputError(f"no such folder: {path.parent}")
    return path


def draw(record: Inspection, network: Network, path: Path) -> Inspection:
    """Write the picture of a network; a tiny one shows the value and the gradient at every operation."""
    from chipwise.codec.files import atomic_write

    page = path.suffix.lower() == ".html"
    computation = None
    if network.source is not None and ":" in network.source.factory and record.totals.layers <= 40:
        from chipwise.networks.computation import tiny_computation

        computation = tiny_computation(network)
    if computation is not None:
        from chipwise.show.computation_picture import computation_html, computation_svg

        text = computation_html(computation) if page else computation_svg(computation)
    else:
        from chipwise.show.graph_picture import graph_html, graph_svg

        text = graph_html(record) if page else graph_svg(record)
    atomic_write(path, text.encode())
    return replace(record, graph=str(path))
