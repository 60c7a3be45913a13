"""FLOP rules, by hand-computed examples."""

from __future__ import annotations

import pytest

from chipwise.core.work import work


@pytest.mark.parametrize(
    ("operator", "inputs", "outputs", "attributes", "flops"),
    [
        ("Conv", [(1, 1, 32, 32), (6, 1, 5, 5), (6,)], [(1, 6, 28, 28)], {}, 6 * 28 * 28 * (2 * 25 + 1)),
        ("Conv", [(2, 8, 4, 4), (8, 1, 3, 3)], [(2, 8, 4, 4)], {"group": 8}, 2 * 8 * 16 * 2 * 9),  # depthwise, no bias
        ("ConvTranspose", [(1, 4, 5, 5), (4, 2, 3, 3)], [(1, 2, 7, 7)], {}, 2 * 100 * 18),
        ("QLinearConv", [(1, 1, 8, 8), (), (), (4, 1, 3, 3)], [(1, 4, 6, 6)], {}, 4 * 36 * 18),
        ("Gemm", [(5, 7), (7, 3), (3,)], [(5, 3)], {}, 15 * 15),
        ("Gemm", [(7, 5), (7, 3)], [(5, 3)], {"transA": 1}, 15 * 14),
        ("MatMul", [(2, 4, 5, 6), (2, 4, 6, 7)], [(2, 4, 5, 7)], {}, 2 * 280 * 6),
        ("MaxPool", [(1, 2, 4, 4)], [(1, 2, 2, 2)], {"kernel_shape": [2, 2]}, 32),
        ("GlobalAveragePool", [(1, 8, 7, 7)], [(1, 8, 1, 1)], {}, 392),
        ("BatchNormalization", [(1, 8, 7, 7)], [(1, 8, 7, 7)], {}, 784),
        ("Softmax", [(2, 10)], [(2, 10)], {}, 100),
        ("Relu", [(3, 4)], [(3, 4)], {}, 12),
        ("Reshape", [None], [None], {}, 0),
        ("Resize", [(1, 1, 4, 4)], [(1, 1, 8, 8)], {"mode": "nearest"}, 0),
        ("Resize", [(1, 1, 4, 4)], [(1, 1, 8, 8)], {"mode": "linear"}, 2 * 64 * 4),
        ("LSTM", [(3, 2, 5), (1, 16, 5), (1, 16, 4), (1, 32)], [(3, 1, 2, 4)], {}, 6 * (32 * 9 + 16 + 36)),
        ("Einsum", [(2, 3), (3, 4)], [(2, 4)], {"equation": "ij,jk->ik"}, 48),
        ("Sum", [(2, 2), (2, 2), (2, 2)], [(2, 2)], {}, 8),
        ("NonMaxSuppression", [(1, 2, 4)], [(1, 3)], {}, None),
        ("Conv", [(1, 1, 8, 8), None], [(1, 1, 6, 6)], {}, None),
        ("Conv", [(1, 1, 8, 8)], [None], {}, None),
    ],
)
def test_work_of_one_operator(
    operator: str, inputs: list[tuple[int, ...] | None], outputs: list[tuple[int, ...]], attributes: dict, flops: int
) -> None:
    assert work(operator, inputs, outputs, attributes) == flops
