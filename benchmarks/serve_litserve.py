"""A LitAPI for LitServe: the body is the tensor's bytes, and so is the answer; with LitServe's own batching.

PEERS/bin/python benchmarks/serve_litserve.py model.onnx --ports 8000 0 0 --batch 32
"""

import importlib.util
from typing import Annotated, Any

import fastapi
import litserve

from serve_peer import BATCH_WAIT_S, HOST, KIND, ROUTE, answer, asked, session

Binary = Annotated[bytes, fastapi.Body(media_type=KIND)]


class Api(litserve.LitAPI):  # type: ignore[misc]
    """The model."""

    def setup(self, device: str) -> None:  # noqa: ARG002 (LitServe's signature, as all of these)
        """Open it, in each worker."""
        session()

    def decode_request(self, request: Binary) -> bytes:
        """Take the body as it is."""
        return request

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """Leave joining to the call."""
        return inputs

    def predict(self, inputs: Any) -> Any:
        """Run one request, or several."""
        return answer(inputs) if isinstance(inputs, list) else answer([inputs])[0]

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        """Give each its own."""
        return output

    def encode_response(self, output: bytes) -> fastapi.Response:
        """Give bytes."""
        return fastapi.Response(output, media_type=KIND)


if __name__ == "__main__":
    options = asked()
    waits = {"batch_timeout": BATCH_WAIT_S} if options.batch > 1 else {}
    api = Api(max_batch_size=options.batch, api_path=ROUTE, **waits)
    quick = importlib.util.find_spec("zmq") is not None  # what LitServe advises for more than 100 requests a second
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=options.workers, fast_queue=quick)
    server.run(host=HOST, port=options.ports[0], log_level="warning", generate_client_file=False)
