"""Where data comes from: built-in digits, IDX files, .npz files, folders of pictures, and MNIST by name.

`load("digits")` gives a `Dataset`; its `split()` gives train, validation and test parts. A data set is added with one
module that has a `load(argument, progress)` and one line in `by_name.SOURCES`.
"""

from chipwise.datasets.by_name import load
from chipwise.datasets.dataset import Dataset, Splits

__all__ = ["Dataset", "Splits", "load"]
