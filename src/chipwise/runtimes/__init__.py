"""What runs a graph: one adapter a file, each with the same verbs (`chipwise.runtimes.engine.Adapter`), no base class.

Importing this folder imports no vendor library; `load` does.

>>> sorted(RUNTIMES)
['inductor', 'onnxruntime', 'onnxruntime-cuda', 'openvino', 'reference', 'tensorrt']
"""

from chipwise.runtimes.engine import Adapter, Engine, EngineOptions, check_inputs, run_many
from chipwise.runtimes.table import RUNTIMES, load, status

__all__ = ["RUNTIMES", "Adapter", "Engine", "EngineOptions", "check_inputs", "load", "run_many", "status"]
