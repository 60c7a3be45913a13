"""A custom runtime for MLServer, with its own batching.

Its REST has no binary tensors: they are BYTES in base64, which costs it less than numbers in JSON.

    PEERS/bin/python benchmarks/serve_mlserver.py model.onnx --ports 8000 8001 8002 --batch 32
"""

import base64
import json
import os
import sys
import tempfile
from pathlib import Path

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from serve_peer import BATCH_WAIT_S, HOST, answer, asked, session

HERE = Path(__file__)
START = "from mlserver.cli import main; main()"


class OnnxRuntime(MLModel):  # type: ignore[misc]
    """The model."""

    async def load(self) -> bool:
        """Open it, in each worker."""
        session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run one request, or several that were joined."""
        bodies = [base64.b64decode(text) for text in payload.inputs[0].data.root]
        scores = [base64.b64encode(each).decode() for each in answer(bodies)]
        output = ResponseOutput(name="scores", shape=[len(scores), 1], datatype="BYTES", data=scores)
        return InferenceResponse(model_name=self.name, outputs=[output])


def main() -> None:
    """Write the settings that MLServer reads, and become its command."""
    options = asked()
    folder = Path(tempfile.mkdtemp(dir=options.model.parent))
    batches = {"max_batch_size": options.batch, "max_batch_time": BATCH_WAIT_S} if options.batch > 1 else {}
    model = {"name": "model", "implementation": f"{HERE.stem}.OnnxRuntime", **batches}
    ports = dict(zip(("http_port", "grpc_port", "metrics_port"), options.ports, strict=True))
    server = {"host": HOST, "debug": False, "parallel_workers": options.workers, **ports}
    (folder / "model-settings.json").write_text(json.dumps(model))
    (folder / "settings.json").write_text(json.dumps(server))
    os.environ["PYTHONPATH"] = str(HERE.resolve().parent)
    os.chdir(folder)
    os.execv(sys.executable, [sys.executable, "-c", START, "start", "."])


if __name__ == "__main__":
    main()
