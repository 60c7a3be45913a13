"""The example that edits a picture runs, and does with it what it says."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "edit_picture.py"


def test_it_runs_and_writes_a_picture(tmp_path: Path) -> None:
    made = tmp_path / "edited.png"
    done = subprocess.run([sys.executable, SCRIPT, made], capture_output=True, text=True, check=True)
    assert "224 x 224" in done.stdout
    assert matplotlib.image.imread(made).shape == (224, 224, 4)


def test_slices_do_what_they_say() -> None:
    names = runpy.run_path(str(SCRIPT))
    image = names["picture"]()
    before = image.copy()
    made = names["edited"](image)
    assert np.array_equal(image, before)  # the crop is a copy
    assert np.array_equal(made[130:160, :112], made[130:160, 112:][:, ::-1])
    corner, small = made[-64:, :64], image[::4, ::4]
    assert np.array_equal(corner[small.min(axis=-1) <= 200], small[small.min(axis=-1) <= 200])
    tinted = made[60:120, 60:112].astype(int)
    plain = image[76:136, 76:128].astype(int)
    dark = plain.min(axis=-1) < 200
    assert np.array_equal(tinted[dark][:, 0], np.minimum(plain[dark][:, 0] + 90, 255))
    assert not (made.min(axis=-1) > 220).any()
