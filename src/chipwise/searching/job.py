"""What a trial's process is told, and what it answers: plain values, as JSON, so that nothing is unpickled.

>>> Outcome("0123", fit_s=0.5).error
''
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["validation", "test"]


@dataclass(frozen=True, slots=True)
class Job:
    """One trial to run.

    Attributes:
        id: of its row.
        model: string; own: "FILE.py:function" that builds a model of the user's own instead; empty for none.
        seed: of every random choice.
        epochs: instead of those that the string says.
        folder: with the arrays of the data, as `arrays.written` leaves them.
        rows: file there with the rows of the training split to learn from; empty for all of them, and validation's.
        asks: which part is predicted.
        class_names: of the data.
        memory_bytes: that the process may have.
        metric: of the score.
        keep: folder for the fitted model; empty where nobody wants it. graph: as a network, too, for the compiler.
    """

    id: str
    model: str
    seed: int
    epochs: int | None
    folder: str
    rows: str
    asks: Part
    class_names: tuple[str, ...]
    memory_bytes: int
    metric: str = "accuracy"
    own: str = ""
    keep: str = ""
    graph: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job.

    Attributes:
        id: of the job.
        fit_s, predict_s: wall time of both; items: that were predicted.
        size_bytes: of the model as it saves itself.
        value: of the metric on the validation split; None for the test split, whose labels no process of a trial is
            given.
        answers: predicted classes of the test split, little-endian int32; empty for validation.
        error: why there is no result; empty where there is one.
        note: what went wrong beside it, where there is a result; empty for nothing.
    """

    id: str
    fit_s: float = 0.0
    predict_s: float = 0.0
    items: int = 0
    size_bytes: int = 0
    value: float | None = None
    answers: bytes = b""
    error: str = ""
    note: str = ""
