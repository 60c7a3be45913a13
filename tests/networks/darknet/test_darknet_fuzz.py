"""Whatever stands in a cfg or a weights file, only a one-line ChipwiseError comes out, and little memory goes in."""

from __future__ import annotations

import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from files import header, numbers, picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_darknet_layers import CASES, RECURRENT

from chipwise.core.errors import ChipwiseError, NetworkError
from chipwise.networks.darknet_file import load
from chipwise.networks.layers import layer_rows

_HEADS = (
    "[convolutional]\nfilters=14\nactivation=linear\n[yolo]\nclasses=2\nnum=2\nanchors=1,2,3,4\nmask=0,1",
    "[convolutional]\nfilters=14\nactivation=linear\n[region]\nclasses=2\nnum=2\nanchors=1,2,3,4\nsoftmax=1",
    "[connected]\noutput=28\n[detection]\nclasses=2\nnum=1\nside=2\nsqrt=1\ncoords=4",
)
SEEDS = (
    *(picture(text) for text in (*CASES.values(), *_HEADS)),
    *("[net]\ninputs=5\n" + text for text in RECURRENT.values()),
)
_LINES = sorted({line for text in SEEDS for line in text.splitlines() if line})
_KEYS = sorted({line.partition("=")[0] for line in _LINES if "=" in line} | {"dilation", "time_steps", "tree"})
_VALUES = ("", "0", "1", "2", "-1", "-9", "3.5", "255", "9999", "65535", "1000000", "2147483648", "9" * 30)
_VALUES += ("nan", "inf", "1e300", "1,2", "-1,-2,0", "0,0,0,0", "leaky", "mish", "none", "x" * 99, "\x1b[2J", "é")
_LIMIT = 60_000_000

options = st.builds("{}={}".format, st.sampled_from(_KEYS), st.sampled_from(_VALUES))
lines = st.sampled_from(_LINES) | options | st.text(max_size=12)


@st.composite
def cfgs(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(SEEDS)).splitlines()
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(text)))
        kind = draw(st.sampled_from(("insert", "replace", "remove", "more")))
        if kind == "insert":
            text.insert(place, draw(lines))
        elif kind == "more":
            text += draw(st.sampled_from(SEEDS)).splitlines()[4:]
        elif text:
            text[place % len(text) : place % len(text) + 1] = [draw(lines)] if kind == "replace" else []
    return "\n".join(text)


def survive(cfg: Path, weights: Path | None, *, rows: bool) -> None:
    tracemalloc.start()
    try:
        network = load(cfg, weights)
        if rows:
            layer_rows(network)
    except ChipwiseError as error:
        shown = (error.message, error.hint)
    else:
        shown = ("fine", "")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert all(len(text.splitlines()) <= 1 for text in shown)
    assert shown[0].isprintable()
    assert peak < _LIMIT


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(cfgs())
def test_mutated_cfgs(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.cfg"
        path.write_text(text, encoding="utf-8", newline="")
        survive(path, None, rows=True)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300))
def test_any_bytes_as_a_cfg(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.cfg"
        path.write_bytes(data)
        survive(path, None, rows=True)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutated_weights(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(SEEDS))
    held = bytearray(header() + numbers(text).tobytes())
    places = st.tuples(st.integers(0, len(held) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(places, max_size=6)):
        held[place] = value
    cut = data.draw(st.integers(0, len(held)) | st.just(len(held)))
    more = data.draw(st.binary(max_size=9))
    with tempfile.TemporaryDirectory() as folder:
        cfg, weights = Path(folder) / "net.cfg", Path(folder) / "net.weights"
        cfg.write_text(text)
        weights.write_bytes(bytes(held[:cut]) + more)
        survive(cfg, weights, rows=False)


def test_short_texts_that_would_make_large_graphs(tmp_path: Path) -> None:
    path = tmp_path / "net.cfg"
    shortcut = "[shortcut]\nfrom=" + "0," * 4000 + "\n"
    for layers in ("[maxpool]\n" + shortcut * 60, "[lstm]\n" * 4000):
        path.write_text(picture(layers, h=2, w=2))
        with pytest.raises(NetworkError, match="makes the graph too large"):
            load(path, None)


def test_numbers_that_would_fill_the_memory() -> None:
    """Each of these asks for terabytes; none may cost megabytes."""
    large = ("[convolutional]\nfilters=1000000\nsize=255\npad=1", "[connected]\noutput=1000000", "[local]\nsize=31")
    large += ("[upsample]\nstride=64\n" * 9, "[gru]\noutput=1000000", "[local]\nfilters=1000000\nsize=1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.cfg"
        for layers in large:
            path.write_text(picture(layers, h=16384, w=16384))
            survive(path, None, rows=True)
        assert np.prod([3.0, 16384, 16384]) > 2**28
