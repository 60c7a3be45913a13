"""Convolution and pooling worked by hand in lectures: the numbers must come out exactly, in every runtime."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import N, graph

from chipwise.runtimes import Adapter, EngineOptions

IMAGE = [
    [60, 113, 56, 139, 85],
    [73, 121, 54, 84, 128],
    [131, 99, 70, 129, 127],
    [80, 57, 115, 69, 134],
    [104, 126, 123, 95, 130],
]
SHARPEN = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]

CORNERS = [
    [[0, 0, 0], [0, 156, 155], [0, 153, 154]],
    [[0, 0, 0], [0, 167, 166], [0, 164, 165]],
    [[0, 0, 0], [0, 163, 162], [0, 160, 161]],
]
RGB_KERNELS = [
    [[-1, -1, 1], [0, 1, -1], [0, 1, 1]],
    [[1, 0, 0], [1, -1, -1], [1, 0, -1]],
    [[0, 1, 1], [0, 1, 0], [1, -1, 1]],
]

PHOTO_KERNELS = [
    [[-0.2, 0, 0.5], [1, 0.3, -0.6], [0, 0, 0.8]],
    [[0, 0, 0], [0.8, -0.5, 0.8], [0, -0.2, 0]],
    [[0, 0.4, 0.2], [-0.8, 0, 0.8], [0, -0.5, 0.2]],
]

MAX_POOLED = [[29, 15, 28, 184], [0, 100, 70, 38], [12, 12, 7, 2], [12, 12, 45, 6]]
AVERAGE_POOLED = [[31, 15, 28, 184], [0, 100, 70, 38], [12, 12, 7, 2], [12, 12, 45, 6]]


def array(values: object) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def run(adapter: Adapter, model: bytes, given: np.ndarray) -> np.ndarray:
    engine = adapter.build(model, EngineOptions(precision="fp32", threads=1, batch=1))
    (result,) = engine.run([given])
    engine.close()
    return result


def direct_convolution(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Cross-correlation with zero padding, written as the definition reads."""
    padded = np.pad(image.astype(np.float64), 1)
    height, width = image.shape
    return array(
        [[(padded[row : row + 3, col : col + 3] * kernel).sum() for col in range(width)] for row in range(height)]
    )


def test_sharpen_kernel_gives_114(adapter: Adapter) -> None:
    model = graph(
        [N("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        {"x": ["batch", 1, 5, 5]},
        {"y": ["batch", 1, 5, 5]},
        {"w": array([[SHARPEN]])},
    )
    result = run(adapter, model, array([[IMAGE]]))
    assert result[0, 0, 0, 0] == 114 == 5 * 60 - 113 - 73
    np.testing.assert_array_equal(result[0, 0], direct_convolution(array(IMAGE), array(SHARPEN)))


def test_rgb_convolution_gives_minus_25(adapter: Adapter) -> None:
    # The corner with its padding is given, so the convolution itself pads nothing.
    model = graph(
        [N("Conv", ["x", "w", "b"], ["y"])],
        {"x": ["batch", 3, 3, 3]},
        {"y": ["batch", 1, 1, 1]},
        {"w": array([RGB_KERNELS]), "b": array([1])},
    )
    assert run(adapter, model, array([CORNERS])).item() == -25 == 308 - 498 + 164 + 1


def test_each_colour_contributes_what_the_example_says(adapter: Adapter) -> None:
    weights = array(RGB_KERNELS)[:, None]
    model = graph(
        [N("Conv", ["x", "w"], ["y"], group=3)], {"x": ["batch", 3, 3, 3]}, {"y": ["batch", 3, 1, 1]}, {"w": weights}
    )
    assert run(adapter, model, array([CORNERS])).ravel().tolist() == [308, -498, 164]


def test_kernels_for_a_photograph(adapter: Adapter) -> None:
    weights = array(PHOTO_KERNELS)[:, None]
    model = graph(
        [N("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        {"x": ["batch", 1, 5, 5]},
        {"y": ["batch", 3, 5, 5]},
        {"w": weights},
    )
    result = run(adapter, model, array([[IMAGE]]))
    for channel, kernel in enumerate(PHOTO_KERNELS):
        np.testing.assert_allclose(result[0, channel], direct_convolution(array(IMAGE), array(kernel)), rtol=1e-5)


@pytest.mark.parametrize(
    ("operator", "given", "wanted"),
    [
        ("MaxPool", MAX_POOLED, [[100, 184], [12, 45]]),
        ("AveragePool", AVERAGE_POOLED, [[36.5, 80], [12, 15]]),
    ],
)
def test_pooling_2x2(adapter: Adapter, operator: str, given: list[list[int]], wanted: list[list[float]]) -> None:
    model = graph(
        [N(operator, ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])],
        {"x": ["batch", 1, 4, 4]},
        {"y": ["batch", 1, 2, 2]},
    )
    result = run(adapter, model, array([[given]]))
    assert result[0, 0].tolist() == wanted
    if operator == "AveragePool":
        assert np.trunc(result[0, 0]).tolist() == [[36, 80], [12, 15]]
