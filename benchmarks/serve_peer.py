"""What the servers that `chipwise serve` is compared with have alike: the command line, and one ONNX Runtime session.

`serve_fastapi.py`, `serve_litserve.py` and `serve_mlserver.py` are such servers, each as its quick start has it. They
need no chipwise, and run until they are killed.
"""

from __future__ import annotations

import argparse
import functools
import os
from pathlib import Path

import numpy as np
import onnxruntime

HOST, ROUTE = "127.0.0.1", "/infer"
KIND = "application/octet-stream"
BATCH_WAIT_S = 0.001  # that a batch waits for more requests


def asked() -> argparse.Namespace:
    """The command line; the model and its threads go into the environment, where worker processes find them too."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--ports", type=int, nargs=3, required=True, help="of HTTP; mlserver has two more")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1, help="requests that may be joined")
    options = parser.parse_args()
    os.environ |= {"PEER_MODEL": str(options.model.resolve()), "PEER_THREADS": str(options.threads)}
    return options


@functools.cache
def session() -> onnxruntime.InferenceSession:
    """The session of this process."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = int(os.environ["PEER_THREADS"])
    settings.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["PEER_MODEL"], settings, providers=["CPUExecutionProvider"])


def answer(bodies: list[bytes]) -> list[bytes]:
    """Answers to requests of one item each, run as one batch: float32 bytes in and out."""
    called = session()
    taken = called.get_inputs()[0]
    items = [np.frombuffer(body, np.float32).reshape(1, *taken.shape[1:]) for body in bodies]
    (scores,) = called.run(None, {taken.name: items[0] if len(items) == 1 else np.concatenate(items)})
    return [row.tobytes() for row in scores]
