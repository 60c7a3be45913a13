"""What a search is asked for: time, limits, and who asks.

>>> Limits(predict_s=1e-3).broken(predict_s=2e-3, size_bytes=10, price_usd=0.0)
'predicting an item takes 0.002 s, more than 0.001 s'
"""

from __future__ import annotations

from dataclasses import dataclass, field

# An hour of one hardware thread in US dollars: AWS c7i.large, 2 of them at 0.08925 USD an hour on demand (Linux,
# us-east-1, 2024; https://aws.amazon.com/ec2/pricing/on-demand/). Say your own.
USD_AN_HOUR = 0.0446
_SOURCE = "half of an AWS c7i.large on demand, us-east-1, 2024"
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a contestant may take; None for any amount.

    Attributes:
        predict_s: of predicting one item, on average over the validation split.
        size_bytes: as it saves itself.
        cost_usd: of fitting it on the whole training split.
    """

    predict_s: float | None = None
    size_bytes: int | None = None
    cost_usd: float | None = None

    def broken(self, *, predict_s: float, size_bytes: int, price_usd: float) -> str:
        """Which limit a contestant breaks, in words; empty for none."""
        if self.predict_s is not None and predict_s > self.predict_s:
            return f"predicting an item takes {predict_s:.3g} s, more than {self.predict_s:g} s"
        if self.size_bytes is not None and size_bytes > self.size_bytes:
            return f"it has {size_bytes:,} bytes, more than {self.size_bytes:,}"
        if self.cost_usd is not None and price_usd > self.cost_usd:
            return f"fitting it costs {price_usd:.2g} USD, more than {self.cost_usd:g}"
        return ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search, as it was asked for.

    Attributes:
        for_s: wall time for all of it; metric: of the scores.
        seed: of samplers, models and rows; sampler: Optuna's.
        jobs: trials at once; on: "" for processes here, "ray" for a Ray cluster.
        group: who asks; own: models of the user's own, "FILE.py:function" each.
        kinds: names of kinds that may compete; empty for all.
        usd_an_hour: price of one thread for an hour; memory_bytes: of each trial.
        graph: the finalists are written as networks, too, for the compiler.
        limits: on contestants.
    """

    for_s: float
    metric: str = "accuracy"
    seed: int = 0
    sampler: str = "tpe"
    jobs: int = 1
    on: str = ""
    group: str = ""
    own: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    usd_an_hour: float = USD_AN_HOUR
    memory_bytes: int = 1 << 32
    graph: bool = False
    limits: Limits = field(default_factory=Limits)

    @property
    def rate(self) -> str:
        """What prices are reckoned at, in words; with where it is from unless somebody said it.

        >>> Wanted(60.0, usd_an_hour=0.1).rate
        '0.1 USD for an hour of one thread, as was said'
        """
        source = _SOURCE if self.usd_an_hour == USD_AN_HOUR else "as was said"
        return f"{self.usd_an_hour:g} USD for an hour of one thread, {source}"

    def price_usd(self, seconds: float) -> float:
        """Of one thread for so long."""
        return self.usd_an_hour * seconds / _HOUR_S
