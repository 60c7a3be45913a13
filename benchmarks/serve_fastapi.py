"""A FastAPI application on uvicorn: the body is the tensor's bytes, and so is the answer.

The session is called in the event loop, which is the fastest with one worker a core.

    PEERS/bin/python benchmarks/serve_fastapi.py model.onnx --ports 8000 0 0
"""

from pathlib import Path
from typing import Any

import fastapi
import uvicorn

from serve_peer import HOST, KIND, ROUTE, answer, asked, session


async def infer(request: fastapi.Request) -> fastapi.Response:
    """Answer one request."""
    (scores,) = answer([await request.body()])
    return fastapi.Response(scores, media_type=KIND)


def app() -> Any:
    """The application, in each worker."""
    session()
    made = fastapi.FastAPI()
    made.add_api_route(ROUTE, infer, methods=["POST"])
    return made


if __name__ == "__main__":
    options = asked()
    uvicorn.run(
        "serve_fastapi:app",
        factory=True,
        app_dir=str(Path(__file__).parent),
        host=HOST,
        port=options.ports[0],
        workers=options.workers,
        log_level="warning",
        access_log=False,
    )
