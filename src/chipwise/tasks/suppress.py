"""Non-maximum suppression: of boxes of one class that overlap, the highest scored stays. ONNX's own operator does it.

>>> import numpy as np
>>> boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]], np.float32)
>>> suppress(boxes, np.array([[0.5], [0.9], [0.3]], np.float32), threshold=0.2, overlap=0.5)
[(1, 0), (2, 0)]
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_CANDIDATES = 4096  # of the boxes given, the best scored: a network that finds everything must not take for ever
_MOST_BOXES = 300  # that are answered, all classes together, as usual in evaluation on COCO (100) and VOC

# A model of one node, NonMaxSuppression of operator set 11, as ONNX serializes it. It was made once with:
#   helper.make_model(helper.make_graph([helper.make_node("NonMaxSuppression", ["b", "s", "m", "o", "t"], ["i"])],
#   "nms", [boxes f32[1,n,4], scores f32[1,k,n], m i64[1], o f32[1], t f32[1]], [i i64[r,3]]), opset 11, ir_version 6)
_MODEL = bytes.fromhex(
    "080612003aaa010a250a01620a01730a016d0a016f0a017412016922114e6f6e4d61785375707072657373696f6e12036e6d735a"
    "180a016212130a110801120d0a0208010a0312016e0a0208045a190a017312140a120801120e0a0208010a0312016b0a0312016e"
    "5a0f0a016d120a0a08080712040a0208015a0f0a016f120a0a08080112040a0208015a0f0a0174120a0a08080112040a02080162"
    "140a0169120f0a0d080712090a031201720a02080342040a00100b"
)


def suppress(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], *, threshold: float, overlap: float
) -> list[tuple[int, int]]:
    """Choose boxes, class by class.

    Args:
        boxes: [P, 4] as left, top, right, bottom, in any unit.
        scores: [P, K].
        threshold: only scores above it count.
        overlap: a box that shares more than this (intersection over union) with a better one of its class goes.

    Returns:
        (box, class) pairs, highest score first; at most 300.
    """
    best = scores.max(axis=1, initial=-np.inf)
    rows = np.flatnonzero(best > threshold)
    if len(rows) > _MOST_CANDIDATES:
        rows = np.sort(rows[np.argsort(-best[rows], kind="stable")[:_MOST_CANDIDATES]])
    if not len(rows):
        return []
    feed = {
        "b": np.ascontiguousarray(boxes[rows][None]),
        "s": np.ascontiguousarray(scores[rows].T[None]),
        "m": np.array([_MOST_BOXES], np.int64),
        "o": np.array([overlap], np.float32),
        "t": np.array([threshold], np.float32),
    }
    chosen = _session().run(None, feed)[0]
    kept, classes = rows[chosen[:, 2]], chosen[:, 1]
    order = np.argsort(-scores[kept, classes], kind="stable")[:_MOST_BOXES]
    return [(int(kept[index]), int(classes[index])) for index in order]


@cache
def _session() -> ort.InferenceSession:
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = 1
    return ort.InferenceSession(_MODEL, settings, providers=["CPUExecutionProvider"])
