"""What may be concluded from measurements, in words. Inside the noise nothing is claimed.

>>> from chipwise.core.measure import Ratio
>>> verdict(Ratio(1.01, 0.97, 1.05, 40))
'same within noise'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.views.units import format_accuracy, format_count, format_factor, format_points, format_ratio, format_share

if TYPE_CHECKING:
    from chipwise.core.measure import PairedDrop, Ratio
    from chipwise.core.plan import Manifest
    from chipwise.core.report import BenchResult, BenchRow

LABELS = {
    "exact": "the same function as the source network",
    "close": "equal to the source network within rounding",
    "lossy": "a cheaper approximation of the source network, judged on data",
}
_NOISY = 0.1


def verdict(ratio: Ratio) -> str:
    """What an interval allows to say: "faster", "slower" or "same within noise"."""
    return "same within noise" if ratio.verdict == "same" else ratio.verdict


def speed(ratio: Ratio) -> str:
    """A speed-up with interval and verdict, "1.42× [1.38–1.47] faster"."""
    return f"{format_ratio(ratio)} {verdict(ratio)}"


def plan_row(bench: BenchResult) -> BenchRow | None:
    """The plan's own row; None when it could not be timed."""
    return next((row for row in bench.rows[:1] if row.timing is not None), None)


def offered(bench: BenchResult) -> str:
    """What one time is of: a call with its batch, or its share of several calls at once."""
    return f"batch {bench.batch}" + (f", {bench.requests} requests at once" if bench.requests > 1 else "")


def peers(bench: BenchResult) -> list[BenchRow]:
    """The contenders that were timed against the plan and answer as closely as it does, fastest first."""
    rivals = (row for row in bench.rows[1:] if row.speedup is not None and row.alike)
    timed = [(row.timing.median_s, row) for row in rivals if row.timing is not None]
    return [row for _, row in sorted(timed, key=lambda pair: pair[0])]


def noise(bench: BenchResult) -> str:
    """How much the timings of a run scattered, and what to do when that was a lot."""
    spread = f"Spread of this run: {format_share(bench.noise, 1)} (interquartile range over median)."
    advice = " That is a lot: end other programs and measure again before relying on small differences."
    return spread + (advice if bench.noise > _NOISY else "")


def baseline_s(plan: Manifest) -> float | None:
    """Median of the baseline in seconds, from the plan's own time and its speed-up; None when either is missing."""
    chosen = next((row for row in plan.candidates if row.status == "chosen" and row.timing is not None), None)
    if chosen is None or chosen.timing is None or plan.speedup is None:
        return None
    return chosen.timing.median_s * plan.speedup.mid


def chosen_bytes(plan: Manifest) -> int | None:
    """Size of the graph that was chosen; None when it is not known."""
    return next((row.size_bytes for row in plan.candidates if row.status == "chosen"), None)


def accuracy_pair(drop: PairedDrop) -> str:
    """Accuracy before and after on the same samples, with intervals."""
    return (
        f"{format_accuracy(drop.source)} before, {format_accuracy(drop.candidate)} after, "
        f"{format_count(drop.candidate.count)} samples"
    )


def paired(drop: PairedDrop) -> str:
    """How the answers differ sample by sample, and what that proves about the drop."""
    proof = f"the drop is at most {format_share(max(drop.upper, 0.0))} (95% sure, paired)"
    if drop.needed > drop.candidate.count:
        proof += f"; {format_count(drop.needed)} samples would be needed to show the limit"
    differ = f"lost {format_count(drop.lost)}, won {format_count(drop.won)}: {format_points(-drop.drop)}"
    return f"{differ}, McNemar p {drop.p_value:.2g}; {proof}"


def comparisons(bench: BenchResult | None, plan: Manifest | None) -> list[tuple[Ratio, str]]:
    """The speed-ups worth a headline: over the baseline of `compile`, and over the fastest peer, the strictest one."""
    found = []
    rivals = peers(bench) if bench is not None else []
    fastest = rivals[0] if rivals else None
    # One comparison with ONNX Runtime is enough: the one that was measured last, side by side with the other peers.
    if plan is not None and plan.speedup is not None and (fastest is None or "onnxruntime" not in fastest.name):
        found.append((plan.speedup, "ONNX Runtime's default"))
    if fastest is not None and fastest.speedup is not None:
        which = f"the fastest of {len(rivals)} rivals, {fastest.name}" if len(rivals) > 1 else fastest.name
        found.append((fastest.speedup, which))
    return found


def headline(bench: BenchResult | None, plan: Manifest | None) -> str:
    """The claim of a report in one sentence; empty when there is nothing to claim from."""
    parts = [
        f"as fast, within the noise, as {rival}"
        if ratio.verdict == "same"
        else f"{format_factor(ratio.mid)}× as fast as {rival}"
        for ratio, rival in comparisons(bench, plan)
    ]
    network = bench.network if bench is not None else plan.source.name if plan is not None else ""
    return f"{network} runs {', and '.join(parts)}." if parts else ""
