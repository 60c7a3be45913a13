"""The published Deep Compression file of SqueezeNet, coded anew: how many bytes, and whether a single bit differs.

    python benchmarks/recode_squeezenet.py --prototxt deploy.prototxt --net compressed_SqueezeNet.net

Reads the file of Han, Mao and Dally's SqueezeNet (github.com/songhan/SqueezeNet-Deep-Compression), writes it as .cwz,
reads that back, and compares every weight by its bits and the outputs of ONNX Runtime on one thread by theirs. The last
line on stdout is one JSON document. Exit code 1 when something differs or the .cwz is not the smaller one.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from chipwise.core.network import Network
from chipwise.networks.load import load
from chipwise.networks.onnx_file import serialize
from chipwise.networks.small_file import save, with_ledger
from document import command_line, give, here


def main() -> int:
    """Code, decode, compare."""
    parser = command_line(__doc__)
    parser.add_argument("--prototxt", type=Path, required=True)
    parser.add_argument("--net", type=Path, required=True)
    parser.add_argument("--modes", nargs="+", default=["fast", "small"], help="which coders")
    asked = parser.parse_args()
    source = load(str(asked.prototxt), weights=asked.net)
    answers = outputs(source)
    published = asked.net.stat().st_size
    found: dict[str, Any] = {"published_bytes": published}
    ok = True
    for mode in asked.modes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "squeezenet.cwz"
            started = time.perf_counter()
            size = save(path, source, mode=mode)
            written = time.perf_counter()
            back, ledger = with_ledger(path)
            read = time.perf_counter()
        alike = same_weights(source, back)
        equal = all(one.tobytes() == other.tobytes() for one, other in zip(answers, outputs(back), strict=True))
        found[mode] = {
            "bytes": size,
            "of_published": size / published,
            "encode_s": written - started,
            "decode_s": read - written,
            "weights_equal": alike,
            "outputs_equal": equal,
            "ledger": {name: value for name, value in asdict(ledger).items() if name != "rows"},
        }
        ok &= alike and equal and size < published
    give("recode_squeezenet", {"ok": ok, **found, **here()}, asked.output)
    return 0 if ok else 1


def same_weights(one: Network, other: Network) -> bool:
    """Every weight that both hold, bit for bit."""
    assert one.graph is not None
    assert other.graph is not None
    mine, theirs = one.graph.graph.initializers, other.graph.graph.initializers
    return mine.keys() == theirs.keys() and all(
        mine[name].const_value.numpy().tobytes() == theirs[name].const_value.numpy().tobytes()  # type: ignore[union-attr]
        for name in mine
    )


def outputs(network: Network) -> list[NDArray[Any]]:
    """What ONNX Runtime answers to one seeded picture, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(serialize(network), options, providers=["CPUExecutionProvider"])
    spec = network.inputs[0]
    picture = np.random.default_rng(0).uniform(-120, 140, spec.concrete(1)).astype(np.float32)
    return list(session.run(None, {spec.name: picture}))


if __name__ == "__main__":
    sys.exit(main())
