"""MNIST by name: 60,000 + 10,000 handwritten digits, 28 x 28 (LeCun, Cortes, Burges), downloaded once.

>>> ARCHIVE.mirrors[0]
'https://ossci-datasets.s3.amazonaws.com/mnist/'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chipwise.datasets.download import Archive, fetch
from chipwise.datasets.idx import find_pairs, load_pairs

if TYPE_CHECKING:
    from chipwise.core.events import Progress
    from chipwise.datasets.dataset import Dataset

# The original host (yann.lecun.com) no longer serves the files; these two hold the same bytes.
ARCHIVE = Archive(
    "mnist",
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    {
        "train-images-idx3-ubyte.gz": "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)


def load(argument: str, progress: Progress) -> Dataset:  # noqa: ARG001 (every source has this signature)
    """Read MNIST from the cache, after downloading what is missing there (11.6 MB).

    Raises:
        MachineError: when a file cannot be downloaded.
    """
    return load_pairs(ARCHIVE.name, find_pairs(fetch(ARCHIVE, progress)), tuple("0123456789"))
