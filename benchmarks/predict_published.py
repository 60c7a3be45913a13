"""How far predictions lie from every published table at hand.

    python benchmarks/predict_published.py --tables ../shared/reference
    python benchmarks/predict_published.py --csv benchmark-infer-amp-nchw-pt291-cu130-5090.csv --device rtx5090 \
        --traces ../shared/reference/timm/op_traces_fp16_bs2.jsonl.gz

Prints errors (median, mean, 90th percentile, rank correlation, share inside the interval) per table and device: rows of
held-out families, rows that were fitted (with --fitting), and devices that nothing was fitted on. A timm CSV of another
device needs nothing but the device's entry in the catalogue: none of its rows was ever fitted, so all count.

The last line on stdout is one JSON document; tables go to stderr. See `published/split.py` for what is held out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import matplotlib as mpl

from chipwise.core.errors import ChipwiseError
from document import command_line, give
from published import dle, edge, mlperf, neusight, neusight_training, tf2017, timm_errors
from published.errors import Error, Summary, by
from published.fit_timm import NAMES
from published.timm import read_table, read_traces

mpl.use("Agg")
from matplotlib import pyplot as plt

_PANEL_ROWS = 25
OTHERS = (neusight, neusight_training, dle, tf2017, edge, mlperf)


def main() -> int:
    """Score what is given; 2 when it cannot be read."""
    options = parse()
    try:
        records = scored(options)
    except ChipwiseError as error:
        print(f"error: {error}{f' ({error.hint})' if error.hint else ''}", file=sys.stderr)
        return 2
    if not records:
        print("error: nothing to score: give --tables or --csv", file=sys.stderr)
        return 2
    groups = by(records, group)
    show(groups)
    document = {
        "unit": "share of the measured time; coverage of intervals meant to cover 0.8",
        "groups": {name: asdict(found) for name, found in groups.items()},
    }
    if options.picture:
        picture(records, options.picture)
    give("predict_published", document, options.output)
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = command_line(__doc__)
    parser.add_argument("--tables", type=Path, help="folder with timm/ and tables/ in it, or one of these")
    parser.add_argument("--csv", type=Path, action="append", default=[], help="a timm CSV file; all rows are scored")
    parser.add_argument("--traces", type=Path, help="traces of the networks in it (those of --tables by default)")
    parser.add_argument("--device", help="whose it is, as the catalogue calls it (from the file's name by default)")
    parser.add_argument("--fitting", action="store_true", help="also rows that were fitted")
    parser.add_argument("--picture", type=Path, help="draw predicted against measured time here (.png, .svg)")
    return parser.parse_args()


def scored(options: argparse.Namespace) -> list[Error]:
    """Records of all that is given."""
    records: list[Error] = []
    folder: Path | None = options.tables
    timm = None if folder is None else folder / "timm" if (folder / "timm").is_dir() else folder
    for path in options.csv:
        traces = options.traces or (timm / timm_errors.TRACES if timm else None)
        if traces is None:
            raise ChipwiseError(f"no traces for {path.name}", hint="give --traces FILE")
        table = read_table(path, NAMES.get(options.device, options.device or ""))
        records += timm_errors.table_errors(table, read_traces(traces), every=True)
    if options.csv or folder is None or timm is None:
        return records
    if (timm / timm_errors.TRACES).is_file():
        records += timm_errors.errors(timm, fitting=options.fitting)
    tables = folder / "tables" if (folder / "tables").is_dir() else folder
    for module in OTHERS:
        if (tables / module.FILE).is_file():
            records += module.errors(tables)
    return records


def group(error: Error) -> str:
    """What a record is summed up with."""
    kind = "zero-shot" if error.zero_shot else "held out" if error.held_out else "fitted"
    if error.zero_shot and not error.held_out:
        kind = "zero-shot, families of the fit"
    return f"{error.table} | {error.device} | {kind}"


def show(groups: dict[str, Summary]) -> None:
    """A table for people."""
    width = max(map(len, groups))
    print(f"{'':{width}}  rows  median    mean     p90    bias   rank  inside", file=sys.stderr)
    for name, found in groups.items():
        inside = "     -" if found.coverage is None else f"{found.coverage:6.1%}"
        rank = "    -" if found.rank is None else f"{found.rank:5.3f}"
        errors = f"{found.median:6.1%}  {found.mean:6.1%}  {found.p90:6.1%}  {found.bias:+6.1%}"
        print(f"{name:{width}} {found.rows:5d}  {errors}  {rank}  {inside}", file=sys.stderr)


def picture(records: Sequence[Error], path: Path) -> None:
    """Predicted over measured, against measured, one panel a group."""
    groups: dict[str, list[Error]] = {}
    for each in records:
        groups.setdefault(group(each), []).append(each)
    # A panel of a few dots says less than its line in the table.
    groups = {name: found for name, found in groups.items() if len(found) >= _PANEL_ROWS} or groups
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, 2.6 * rows), squeeze=False, sharey=True)
    for axis, (name, found) in zip(axes.flat, groups.items(), strict=False):
        axis.semilogx([each.measured_s for each in found], [each.ratio for each in found], ".", ms=2.5, alpha=0.5)
        axis.axhline(1, color="k", lw=0.6)
        axis.set_title(name.replace(" | ", "\n", 1), fontsize=6)
        axis.set_ylim(0.4, 1.8)
        axis.tick_params(labelsize=6)
    for axis in list(axes.flat)[len(groups) :]:
        axis.axis("off")
    figure.supxlabel("measured, s a step", fontsize=8)
    figure.supylabel("predicted / measured", fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=70)


if __name__ == "__main__":
    sys.exit(main())
