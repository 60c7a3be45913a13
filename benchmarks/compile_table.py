"""The page of compiled networks, written from results: each plan, how fast it is, what share of the peak it reaches.

    python benchmarks/compile_table.py benchmarks/results/xeon-amx-2-cores > docs/compiled-networks.md

Reads compile_suite.json and compile_lossy.json of a folder.

>>> interval({"mid": 1.5, "low": 1.4, "high": 1.61})
'1.50 [1.40–1.61]'
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from chipwise.views.units import format_time

Row = dict[str, Any]

_HEAD = """# Compiled networks

What `compile` makes of {count} networks on {machine}, batch 1, against what people would use: medians of
interleaved rounds, ratios with their 95% interval. `python benchmarks/compile_suite.py --shared DATA` measures it anew,
and this page is written from its result by `benchmarks/compile_table.py`.
"""
_CLOSE = """
## Plans that answer alike

Without data a plan must answer like the source but for rounding. Peers compute in float32 too: ONNX Runtime, OpenVINO
(told so: its default is bfloat16 here), PyTorch, and `torch.compile`. The share of the peak is that of the plan's own
operations, 1 multiply-add = 2, in what `doctor --measure` found this machine to reach in the plan's number formats.
"""

_LOSSY = """
## Plans that may lose 1% of the accuracy

Compiled with data and `--max-drop 1%`: some samples calibrate, others guard that the drop, with 95% confidence, is
within the limit. The accuracies are those on test samples, which had no say. Peers run their own default, which of
OpenVINO is bfloat16 here. `python benchmarks/compile_lossy.py --shared DATA --large` measures it anew.
"""
_LARGE = """
### Larger networks, latency only

Weights drawn by seed, so nothing is said of accuracy; against every peer's own default.
"""


def main() -> int:
    """Write the page to stdout."""
    folder = Path(sys.argv[1])
    print("\n".join(page(read(folder / "compile_suite.json"), read(folder / "compile_lossy.json"))), end="\n")
    return 0


def read(path: Path) -> Row | None:
    """A document; None where there is none."""
    return json.loads(path.read_text()) if path.exists() else None


def page(close: Row | None, lossy: Row | None) -> Iterator[str]:
    """The page's lines, from the documents of the suites."""
    assert close is not None, "the suite has no result there"
    machine = close["machine"]
    yield _HEAD.format(
        count=len(close["results"]), machine=f"{machine['cores']} cores of an {machine['cpu'].replace('(R)', '')}"
    ).rstrip()
    yield _CLOSE.rstrip()
    for title, key, removable in (("Networks as they are", "plain", False), ("With work to remove", "removable", True)):
        rows = [row for row in close["results"] if row["removable"] == removable]
        yield from ("", f"### {title}", "", *table(rows), "", summed_up(close[key]))
    if lossy is not None:
        yield from lossy_lines(lossy)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """A row a network."""
    yield "| network | plan | median | fastest peer | plan is faster by | of the peak |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        share = "" if row["share_of_peak"] is None else f"{row['share_of_peak']:.0%}"
        gain = interval(row["over_fastest"]) if row["over_fastest"] else ""
        cells = (
            row["network"], row["choice"], format_time(row["plan_median_s"]), row["fastest_peer"] or "", gain, share
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    for row in rows:
        for name, peer in row["peers"].items():
            if peer.get("no_rival"):
                yield from ("", f"{name} on {row['network']} is no rival: {peer['no_rival']}.")


def summed_up(found: Row) -> str:
    """The geometric means in a sentence."""
    single = found["over_one_peer_for_all"]
    best = min(single, key=lambda name: single[name])
    others = ", ".join(f"{value:.2f} over {name}" for name, value in sorted(single.items(), key=lambda pair: pair[1]))
    return (
        f"Geometric means over {found['networks']} networks: {found['over_the_best_of_each']:.2f} over the fastest "
        f"peer of each; {single[best]:.2f} over the best single peer, {best} ({others})."
    )


def lossy_lines(found: Row) -> Iterator[str]:
    """The part about plans that may round: accuracies on samples that had no say, and speed against every default."""
    yield _LOSSY.rstrip()
    yield from (
        "",
        "| network | test samples | plan | accuracy before | after | fastest peer | faster by | than ONNX Runtime |",
    )
    yield "|---|---|---|---|---|---|---|---|"
    for row in found["results"]:
        cells = (
            row["network"], str(row["samples"]["test"]), row["choice"], share(row["accuracy_before"]),
            share(row["accuracy_after"]), row["fastest_peer"], interval(row["over_fastest"]),
            interval(row["over_onnxruntime"]),
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    best, usual = found["geometric_mean_over_the_best_of_each"], found["geometric_mean_over_onnxruntime"]
    yield from (
        "",
        f"Geometric means: {best:.2f} over the fastest peer of each, {usual:.2f} over ONNX Runtime's default.",
    )
    if found["latency_only"]:
        yield from large_lines(found["latency_only"])


def large_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Latencies of larger networks, of which no accuracy is known."""
    yield _LARGE.rstrip()
    yield from ("", "| network | fastest | median | fastest peer | faster by |", "|---|---|---|---|---|")
    for row in rows:
        best = row["best"]
        median = format_time(row["median_s"][best])
        yield f"| {row['network']} | {best} | {median} | {row['fastest_peer']} | {interval(row['over_fastest'])} |"


def share(accuracy: Row) -> str:
    """An accuracy with its interval."""
    return f"{accuracy['value']:.2%} [{accuracy['low']:.1%}–{accuracy['high']:.1%}]"


def interval(ratio: Row) -> str:
    """A ratio with its interval."""
    return f"{ratio['mid']:.2f} [{ratio['low']:.2f}–{ratio['high']:.2f}]"


if __name__ == "__main__":
    sys.exit(main())
