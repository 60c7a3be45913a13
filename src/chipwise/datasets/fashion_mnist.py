"""Fashion-MNIST by name: 60,000 + 10,000 pictures of clothes, 28 x 28 (Xiao, Rasul, Vollgraf 2017), downloaded once.

Source of files, names and checksums: https://github.com/zalandoresearch/fashion-mnist (MIT licence).

>>> CLASS_NAMES[9]
'Ankle boot'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.datasets.download import Archive, fetch
from chipwise.datasets.idx import find_pairs, load_pairs

if TYPE_CHECKING:
    from chipwise.core.events import Progress
    from chipwise.datasets.dataset import Dataset

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip

ARCHIVE = Archive(
    "fashion-mnist",
    (
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    {
        "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
    },
)


def load(argument: str, progress: Progress) -> Dataset:  # noqa: ARG001 (every source has this signature)
    """Read Fashion-MNIST from the cache, after downloading what is missing there (30.9 MB).

    Raises:
        MachineError: when a file cannot be downloaded.
    """
    return load_pairs(ARCHIVE.name, find_pairs(fetch(ARCHIVE, progress)), CLASS_NAMES)
