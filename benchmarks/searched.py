"""What the benchmarks of `chipwise search` have alike: data as it is typed, and a search in a process of its own.

>>> spec_of("digits", None, Path("unused"))
'digits'
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from chipwise.searching.processes import environment
from cifar_pictures import cifar_to_train

DATA = ("digits", "mnist", "cifar")


def spec_of(name: str, shared: Path | None, folder: Path) -> str:
    """Data as `--data` takes it; the pictures of CIFAR-10 are written as one file.

    Args:
        name: of `DATA`.
        shared: folder of the reference data, which digits do without.
        folder: for the file.
    """
    if name == "digits":
        return name
    if shared is None:
        raise SystemExit(f"{name} is read from --shared FOLDER")
    if name == "mnist":
        return f"idx:{shared / 'mnist'}"
    data = cifar_to_train(shared)
    file, known = folder / "cifar-10-jpeg.npz", len(data) - data.test_count
    if not file.exists():
        parts = {"x_train": data.arrays[:known], "y_train": data.labels[:known]}
        parts |= {"x_test": data.arrays[known:], "y_test": data.labels[known:]}
        np.savez(file, allow_pickle=False, class_names=np.asarray(data.class_names), **parts)
    return f"npz:{file}"


def begun(words: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    """Start Python with these words and one thread; what it says goes into a file, errors into one beside it."""
    with output.open("wb") as said, output.with_suffix(".errors").open("wb") as errors:
        return subprocess.Popen([sys.executable, *words], stdout=said, stderr=errors, env=environment())


def search_words(spec: str, ledger: Path, for_s: float, *more: str) -> list[str]:
    """`chipwise search` as a user types it."""
    return ["-m", "chipwise", "search", "--data", spec, "--ledger", str(ledger), "--for", f"{for_s:g}s", *more]


def ended(process: subprocess.Popen[bytes], output: Path, right: Iterable[int] = (0,)) -> bytes:
    """What a process said on stdout, once it has ended well."""
    code = process.wait()
    if code not in right:
        raise SystemExit(f"exit code {code}: {output.with_suffix('.errors').read_text(errors='replace')[-2000:]}")
    return output.read_bytes()
