"""How small a network for CIFAR-10 becomes, in bytes of a file that runs, and what it loses on pictures it never saw.

    python benchmarks/compress_cifar.py --shared ../shared/data --folder runs/                 # ResNet-20, 12x

A network that came trained is trained on JPEG files of CIFAR-10 (`benchmarks/cifar_pictures.py`): that is the dense
one, which `chipwise compress` makes small. It is compared with it, and with the dense one trained for as many epochs as
the stages took, with the same teacher, itself. What was trained is kept in `--folder`, so that an interrupted run goes
on. Accuracies are on 7,500 pictures of the test set, in pairs.

The last line on stdout is one JSON document. Exit code 1 when the file is larger than was asked for, or loses more than
half a point against the dense network.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path

from chipwise.training.settings import as_json
from chipwise.views.terminal import TerminalProgress
from cifar_pictures import PREPROCESS, USUAL, cifar_to_train, compressed, dense_network
from document import command_line, give, here
from taught import drops, taught

MAX_DROP = 0.005


def main() -> int:
    """Train what is not there, and judge; 0 when both limits are kept."""
    parser = command_line(__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--folder", type=Path, required=True, help="where what was trained is kept")
    parser.add_argument("--network", choices=sorted(PREPROCESS), default="resnet20")
    parser.add_argument("--target", default="12x")
    parser.add_argument("--epochs", type=int, default=8, help="of the dense one, and of each stage")
    parser.add_argument("--alone", action="store_true", help="leave out the dense network that is trained longer")
    options = parser.parse_args()
    data, preprocess = cifar_to_train(options.shared), PREPROCESS[options.network]
    dense = options.folder / f"{options.network}.onnx"
    small = options.folder / f"{options.network}-{options.target}.cwz"
    settings = replace(USUAL, epochs=options.epochs)
    with TerminalProgress() as progress:
        dense_network(options.network, options.shared, dense, data, options.epochs, progress)
        record = compressed(dense, small, data, preprocess, options.epochs, progress, target=options.target)
        paths = {"dense": dense, "small": small}
        if not options.alone:
            paths["dense, trained longer"] = longer = options.folder / f"{options.network}-longer.onnx"
            more = replace(settings, epochs=options.epochs * len(record.stages))
            taught(dense, longer, data, more, progress, preprocess=preprocess, teacher=dense)
    judged = drops(paths, data, preprocess, [name for name in paths if name != "small"])
    lost = judged["small"]["against"]["dense"]
    document = {
        **here(),
        "network": options.network,
        "data": {"name": data.name, "train": len(data) - data.test_count - data.validation_count,
                 "validation": data.validation_count, "test": data.test_count},
        "settings": as_json(settings),
        "target": options.target,
        "bytes": record.file_bytes,
        "dense_bytes": record.dense_bytes,
        "ratio": record.ratio,
        "stages": [asdict(replace(stage, history=())) for stage in record.stages],
        "layers": [asdict(layer) for layer in record.layers],
        "compress_s": record.seconds,
        "accuracy": judged,
        "shown_within_limit": lost["drop_upper_95"] <= MAX_DROP,
        "ok": record.met and lost["drop"] <= MAX_DROP,
    }  # fmt: skip
    give("compress_cifar", document, options.output)
    return 0 if document["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
