"""How much wider intervals of mixed precision are on cards that nothing was fitted on: from half of NVIDIA's rows.

    python benchmarks/published/widen.py --tables ../shared/reference/tables

Profiles of mixed precision were fitted on two GeForce cards; what leaving one of these out says is too little for other
chips and other software. So half of the rows of DeepLearningExamples (V100, T4, A100; a half by the hash of their
names, `dle.calibrating`) decide how wide 80% is, and the other half tests it. Run it after `fit_timm.py`.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from chipwise.codec.records import encode  # noqa: E402
from chipwise.devices.profiles import FOLDER, read_profile  # noqa: E402
from published import dle  # noqa: E402
from published.errors import Error  # noqa: E402

_LEAST_ROWS = 20


def main() -> int:
    """Write `elsewhere` of every profile that enough rows of the calibrating half were priced by."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True, help=f"folder with {dle.FILE}")
    rows: dict[str, list[Error]] = defaultdict(list)
    for error in dle.errors(parser.parse_args().tables):
        if error.zero_shot and not error.held_out:
            rows[error.note].append(error)
    for name, found in rows.items():
        path = FOLDER / f"{name}.json"
        profile = read_profile(path)
        if len(found) < _LEAST_ROWS or profile.spread is None:
            continue
        wider = round(profile.spread.elsewhere * needed(found, profile.spread.coverage), 3)
        path.write_bytes(encode(replace(profile, spread=replace(profile.spread, elsewhere=wider)), pretty=True) + b"\n")
        print(f"{name}: {wider} by {len(found)} rows", file=sys.stderr)
    return 0


def needed(errors: Iterable[Error], coverage: float) -> float:
    """What intervals must be times as wide as they are, to hold `coverage` of the rows; at least 1."""
    factors = []
    for each in errors:
        low, mid, high = each.predicted_s.low, each.predicted_s.mid, each.predicted_s.high
        assert low, "rows without bounds cannot be calibrated"
        assert mid
        assert high
        off = math.log(each.measured_s / mid)
        factors.append(max(off / math.log(high / mid), off / math.log(low / mid)))
    return max(1.0, float(np.quantile(factors, coverage)))


if __name__ == "__main__":
    sys.exit(main())
