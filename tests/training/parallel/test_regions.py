"""What a band of an output needs is what a convolution of the whole picture looks at, whatever its numbers are."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from chipwise.core.errors import NetworkError  # noqa: E402
from chipwise.training.parallel.halo import around, bands, within  # noqa: E402
from chipwise.training.parallel.spatial import _computed, _windows, check_regions  # noqa: E402
from training.parallel import nets  # noqa: E402

pytestmark = pytest.mark.runtime
small = st.integers(1, 4)


@given(
    small,
    small,
    st.integers(0, 3),
    small,
    st.integers(4, 30),
    st.integers(1, 5),
    st.sampled_from(["conv", "max", "avg"]),
)
@settings(deadline=None, max_examples=150)
def test_bands_together_are_the_whole_output(
    kernel: int, stride: int, padding: int, dilation: int, rows: int, processes: int, kind: str
) -> None:
    layer: nn.Module
    if kind == "conv":
        layer = nn.Conv2d(2, 3, kernel, stride, padding, dilation)
    else:
        padding = min(padding, kernel // 2)
        dilation = dilation if kind == "max" else 1
        layer = (
            nn.MaxPool2d(kernel, stride, padding, dilation) if kind == "max" else nn.AvgPool2d(kernel, stride, padding)
        )
    window = _windows(layer)[0]
    assume(window.outputs(rows) >= processes)
    picture = torch.randn(1, 2, rows, rows)
    whole = layer(picture)
    assert window.outputs(rows) == whole.shape[2]
    parts = []
    for band in bands(whole.shape[2], processes):
        start, stop = within(window.rows(band), rows)
        parts.append(_computed(layer, picture[:, :, start:stop], [padding, padding, *around(window.rows(band), rows)]))
    torch.testing.assert_close(torch.cat(parts, 2), whole)


def test_pixels_become_channels_by_whole_blocks() -> None:
    layer = nn.PixelUnshuffle(2)
    picture, window = torch.randn(1, 1, 12, 4), _windows(layer)[0]
    rows = [window.rows(band) for band in bands(window.outputs(12), 4)]
    assert rows == [(0, 2), (2, 6), (6, 8), (8, 12)]
    parts = [_computed(layer, picture[:, :, first:end], [0, 0, 0, 0]) for first, end in rows]
    assert torch.equal(torch.cat(parts, 2), layer(picture))


def test_same_padding_is_uneven() -> None:
    window = _windows(nn.Conv2d(1, 1, 4, padding="same"))[1]
    assert (window.padding, window.after, window.outputs(9)) == (1, 2, 9)
    picture = torch.randn(1, 1, 9, 9)
    layer = nn.Conv2d(1, 1, 4, padding="same")
    torch.testing.assert_close(
        layer(picture), functional.conv2d(functional.pad(picture, (1, 2, 1, 2)), layer.weight, layer.bias)
    )


@given(st.integers(1, 100), st.integers(1, 20))
def test_bands_cover_the_picture_once(rows: int, processes: int) -> None:
    made = bands(rows, processes)
    assert [row for first, end in made for row in range(first, end)] == list(range(rows))
    sizes = [end - first for first, end in made]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("module", "size", "said"),
    [
        (nets.mlp(), (12,), "on inputs of shape"),
        (nets.Branch(), (6,), "a Branch"),
        (nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), (1, 6, 6), "does not begin with a convolution"),
        (nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")), (1, 6, 6), "does not begin"),
        (nn.Sequential(nn.MaxPool2d(3, ceil_mode=True)), (1, 8, 8), "does not begin"),
        (nn.Sequential(nn.Conv2d(1, 1, 6)), (1, 6, 6), "a row for each process"),
    ],
)
def test_what_cannot_be_cut_is_refused(module: nn.Module, size: tuple[int, ...], said: str) -> None:
    with pytest.raises(NetworkError, match=said):
        check_regions(module, size, {"sph": 2})


def test_layers_are_cut_until_rows_run_out() -> None:
    assert check_regions(nets.pictures(), (1, 13, 11), {"sph": 2, "spw": 2}) == 5
    assert check_regions(nets.pictures(), (1, 13, 11), {"sph": 4}) == 4
