"""Write docs/number-formats.md from the committed results of `formats_accuracy.py`.

    python benchmarks/formats_page.py results/xeon-amx-2-cores/formats_accuracy.json > ../docs/number-formats.md

>>> share({"accuracy": {"value": 0.5, "low": 0.25, "high": 0.75}})
'50.0% [25.0–75.0]'
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import chipwise

HEAD = """# Number formats

```sh
chipwise formats                                   # range, accuracy, energy and area of each
chipwise formats --picture values.svg              # every value of each, on a logarithmic and a linear axis
chipwise formats --gates                           # adders and multipliers out of NAND gates, counted
chipwise formats --network runs/lenet5 -d digits   # what a trained network loses under each
chipwise formats --network runs/lenet5 -d digits --only int8,posit-8-0,log-8-1-5-5-7    # and in which layers
```

![Values of each format: a tick a value, on a logarithmic axis and from 0 to 4](images/number-formats.svg)

A format is a table of values, the thresholds between them, and a rule for what is beyond its ends. Rounding is to
nearest, ties to even. Tables of floats and of MX floats are tested against ml_dtypes and gfloat, tf32, which neither
knows, against fp16, and posits against a decoder in exact fractions: two posits of n bits part at the posit of n + 1
bits between them, which is not always their middle. MXint8 differs from the specification's on
purpose: its lowest value, -2, is left out, so that both sides round alike.

How products are added up belongs to a format as much as its values do:

| sums | what happens | formats |
|---|---|---|
| fp32 | products and sums in float32, in the library's order | fp32 to fp16, fp8, fp6, fp4, MX |
| fp16 | one product after the other, each sum rounded to fp16 | `fp16-sums` |
| int32 | exact, kept to 32 bits as two's complement wraps | int8, int4 |
| exact | nothing is rounded before the end (Kulisch's accumulator, a posit's quire) | posits, fixed point |
| elma | logarithms are added, made linear in 5 bits, summed exactly; back through 5 and 7 bits | log (8,1,5,5,7) |

Exact sums are one product of matrices in float64 where a certificate says that nothing can be rounded: all products
are multiples of one power of two, and their magnitudes add up to less than 2^53 of it. Elsewhere numbers are cut into
slices of 18 bits, and the last rounding is of the exact sum all the same.

int8, int4, fp8, fp6 and fp4 have a scale for each output channel of the weights and one for the inputs of each layer,
from the largest magnitudes of 100 training samples; MX blocks bring their own. All other formats take the network as
it is. Batch normalizations are folded first. Nothing is trained again.

## What networks lose
"""

COLUMNS = "| format | {name}: accuracy | change | lost, won | saturated | tiny |\n|---|---|---|---|---|---|"


def page(document: dict[str, Any], discussion: str) -> str:
    """The whole page.

    Args:
        document: as `formats_accuracy.py` writes it.
        discussion: what is said of the table, which is kept in a file of its own.
    """
    titles = {each.name: each.title for each in chipwise.formats().formats}
    lines = [HEAD]
    networks: dict[str, list[dict[str, Any]]] = {}
    for row in document["results"]:
        networks.setdefault(row["network"].split()[0], []).append(row)
    for name, rows in networks.items():
        first = max(rows, key=lambda row: row["float32"]["count"])
        count = first["float32"]["count"]
        lines += [
            f"### {name} on {first['data']}\n",
            f"As it is: {share({'accuracy': first['float32']})} of {count}.\n",
        ]
        lines.append(COLUMNS.format(name=name))
        tried = [row["network"].split()[1] for row in rows]
        lines += [table_row(row, titles[form], count) for form, row in zip(tried, rows, strict=True)]
        untried = [title for form, title in titles.items() if form not in tried]
        missing = textwrap.fill(f"Not tried here: {'; '.join(untried)}.", 120)
        lines += ["", missing, ""] if untried else [""]
    return "\n".join(lines) + "\n" + discussion


def table_row(row: dict[str, Any], title: str, usual: int) -> str:
    """One row of a table, with the layers in which the range was lost most; few samples are said."""
    parts = [(part, name) for name, layer in row["layers"].items() for part in layer.values()]
    worst = [max(parts, key=lambda each, place=place: each[0][place]) for place in (0, 1)]  # type: ignore[misc]
    ends = [f"{100 * part[place]:.1f}% in {name}" if part[place] >= 0.0005 else "-" for place, (part, name) in
            enumerate(worst)]  # fmt: skip
    count = row["accuracy"]["count"]
    fewer = "" if count == usual else f" of {count}"
    change = f"{100 * row['change'] + 0.0:+.1f}"
    changed = f"**{change}**" if row["p_value"] < 0.05 and row["change"] < 0 else change
    return f"| {title} | {share(row)}{fewer} | {changed} | {row['lost']}, {row['won']} | {ends[0]} | {ends[1]} |"


def share(row: dict[str, Any]) -> str:
    """An accuracy with its interval."""
    value, low, high = (100 * row["accuracy"][key] for key in ("value", "low", "high"))
    return f"{value:.1f}% [{low:.1f}–{high:.1f}]"


if __name__ == "__main__":
    given = Path(sys.argv[1])
    sys.stdout.write(page(json.loads(given.read_text()), given.with_name("formats_discussion.md").read_text()))
