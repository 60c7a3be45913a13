"""The REST interface as an OpenAPI 3.1 document: the protocol's paths, and ours beside them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from chipwise.serving.datatypes import BYTES, NUMBERS

_PARAMETERS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_SHAPE = {"type": "array", "items": {"type": "integer", "minimum": -1}}
_DATATYPE = {"type": "string", "enum": [*NUMBERS, BYTES]}
_NAMED = {"name": {"type": "string"}, "datatype": _DATATYPE, "shape": _SHAPE}
_BINARY = {"type": "string", "format": "binary"}
_MODEL = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
_VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}
_HEADER_LENGTH = {
    "name": "Inference-Header-Content-Length", "in": "header", "schema": {"type": "integer", "minimum": 1},
    "description": "Where the JSON ends and binary tensors begin.",
}  # fmt: skip
_REFUSALS = {
    "400": "It cannot be answered: what was sent is malformed or does not fit the model.",
    "401": "A bearer token is wanted.",
    "404": "There is no such model or version.",
    "405": "Another method is wanted.",
    "408": "The body did not come in time.",
    "413": "It is too large.",
    "415": "Its Content-Encoding is unknown.",
    "500": "The model failed.",
    "503": "The model is not available, or too many requests wait: see Retry-After.",
    "504": "There was no answer in time.",
}


def openapi() -> dict[str, Any]:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "chipwise serve", "version": version("chipwise")},
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _paths() -> dict[str, Any]:
    paths: dict[str, Any] = {
        "/v2/health/live": {"get": _operation("Whether the server lives.", "Live")},
        "/v2/health/ready": {"get": _operation("Whether every model takes requests.", "Ready")},
        "/v2": {"get": _operation("The server's name, version and extensions.", "Server")},
        "/v2/models/stats": {"get": _operation("What became of all requests.", "Statistics")},
        "/v2/repository/index": {"post": _operation("All models.", "Index", body=_json("IndexRequest"))},
        "/metrics": {"get": _operation("Numbers for Prometheus.", None, kind="text/plain")},
        "/": {"get": _operation("What the server does, as a page for browsers.", None, kind="text/html")},
        "/openapi.json": {"get": _operation("This document.", "Object")},
    }
    for verb in ("load", "unload"):
        said = {"load": "Open a model's plan, or its new version.", "unload": "Take a model away."}[verb]
        operation = _operation(said, None, [_MODEL], _json("Object", required=False))
        paths[f"/v2/repository/models/{{model}}/{verb}"] = {"post": operation}
    for prefix, named in (("", [_MODEL]), ("/versions/{version}", [_MODEL, _VERSION])):
        path = f"/v2/models/{{model}}{prefix}"
        paths[path] = {"get": _operation("What the model takes and gives.", "Model", named)}
        paths[f"{path}/ready"] = {"get": _operation("Whether the model takes requests.", "ModelReady", named)}
        paths[f"{path}/config"] = {"get": _operation("How the model is run.", "Object", named)}
        paths[f"{path}/stats"] = {"get": _operation("What became of its requests.", "Statistics", named)}
        infer = _operation("Infer.", "InferAnswer", [*named, _HEADER_LENGTH], _infer_body())
        infer["responses"]["200"]["content"]["application/octet-stream"] = {"schema": _BINARY}
        paths[f"{path}/infer"] = {"post": infer}
    for verb, answer, kind in (
        ("classify", "Labels", ""), ("detect", "Boxes", ""), ("segment", None, "image/png"),
    ):  # fmt: skip
        body = {"required": True, "content": {"image/*": {"schema": _BINARY}}}
        operation = _operation(f"Have a picture file looked at: {verb}.", answer, [_MODEL], body, kind=kind)
        paths[f"/v2/models/{{model}}/{verb}"] = {"post": operation}
    return paths


def _operation(
    summary: str,
    answer: str | None,
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
    *,
    kind: str = "",
) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done."}
    if answer is not None:
        done["content"] = {"application/json": {"schema": _reference(answer)}}
    elif kind:
        done["content"] = {kind: {"schema": _BINARY if kind.startswith("image") else {"type": "string"}}}
    refused = {"application/json": {"schema": _reference("Error")}}
    responses = {status: {"description": said, "content": refused} for status, said in _REFUSALS.items()}
    operation: dict[str, Any] = {"summary": summary, "responses": {"200": done, **responses}}
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = body
    return operation


def _infer_body() -> dict[str, Any]:
    return {
        "required": True,
        "content": {
            "application/json": {"schema": _reference("InferRequest")},
            "application/octet-stream": {"schema": _BINARY},
        },
    }


def _json(schema: str, *, required: bool = False) -> dict[str, Any]:
    return {"required": required, "content": {"application/json": {"schema": _reference(schema)}}}


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _object(properties: dict[str, Any], *optional: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _schemas() -> dict[str, Any]:
    text, number, whole, yes = ({"type": each} for each in ("string", "number", "integer", "boolean"))
    sent = _object({**_NAMED, "parameters": _PARAMETERS, "data": {"type": "array"}}, "parameters", "data")
    wanted = _object({"name": text, "parameters": _PARAMETERS}, "parameters")
    edges = dict.fromkeys(("left", "top", "right", "bottom"), number)
    return {
        "Error": _object({"error": text}),
        "Object": {"type": "object"},
        "Live": _object({"live": yes}),
        "Ready": _object({"ready": yes}),
        "ModelReady": _object({"name": text, "ready": yes}),
        "Server": _object({"name": text, "version": text, "extensions": _list(text)}),
        "Model": _object({
            "name": text, "versions": _list(text), "platform": text,
            "inputs": _list(_object(_NAMED)), "outputs": _list(_object(_NAMED)),
        }),
        "InferRequest": _object(
            {"id": text, "parameters": _PARAMETERS, "inputs": _list(sent), "outputs": _list(wanted)},
            "id", "parameters", "outputs",
        ),
        "InferAnswer": _object(
            {"model_name": text, "model_version": text, "id": text, "outputs": _list(sent)}, "id"
        ),
        "Statistics": _object({"model_stats": _list(_object({
            "name": text, "version": text, "last_inference": whole, "inference_count": whole,
            "execution_count": whole, "inference_stats": {"type": "object"}, "batch_stats": _list({"type": "object"}),
        }))}),
        "IndexRequest": _object({"ready": yes}, "ready"),
        "Index": _list(_object({"name": text, "version": text, "state": text, "reason": text}, "version")),
        "Labels": _object({"labels": _list(_object({"label": text, "score": number}))}),
        "Boxes": _object({"boxes": _list(_object({"label": text, "score": number, **edges}))}),
    }  # fmt: skip
