"""The gRPC door: the same models, limits and refusals as REST, in the protocol's messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from chipwise.core.errors import ChipwiseError, MachineError
from chipwise.serving import documents
from chipwise.serving.answer import Reply, chosen
from chipwise.serving.datatypes import BYTES, NUMBERS, check_shape, from_bytes, from_values, of_array, to_bytes
from chipwise.serving.grpc_messages import SERVICE, message
from chipwise.serving.http import check_token
from chipwise.serving.logs import why
from chipwise.serving.model_facts import fitted
from chipwise.serving.request import (
    InferRequest,
    Wanted,
    check_names,
    checked_text,
    classes_of,
    refuse_parameters,
    timeout_of,
)
from chipwise.serving.request_error import (
    ABSENT,
    BAD,
    BROKEN,
    EXPIRED,
    TOO_LARGE,
    UNAUTHORIZED,
    UNAVAILABLE,
    RequestError,
    as_refusal,
)
from chipwise.serving.routes import OPEN
from chipwise.serving.wire import Message

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chipwise.serving.limits import Limits
    from chipwise.serving.logs import Log
    from chipwise.serving.settings import Settings
    from chipwise.serving.shelf import Shelf

    Method = Callable[[Shelf, Any, float | None], Awaitable[Any]]

_CODES = {
    BAD: grpc.StatusCode.INVALID_ARGUMENT,
    UNAUTHORIZED: grpc.StatusCode.UNAUTHENTICATED,
    ABSENT: grpc.StatusCode.NOT_FOUND,
    TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    BROKEN: grpc.StatusCode.INTERNAL,
    UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    EXPIRED: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", BYTES: "bytes_contents",
}  # fmt: skip
_OPEN = tuple(f"Server{name.title()}" for name in OPEN)
_METADATA_BYTES = 16 << 10
_CALLS = 1024  # at the same time, streams too; one more is refused, before it is read
_IDLE_MS = 600_000
_STREAMED = "ModelStreamInfer"
_LAST_S = 0.2  # in which a stream's next request must come once the server is told to stop


async def open_door(shelf: Shelf, log: Log) -> grpc.aio.Server:
    """Listen for gRPC.

    Raises:
        MachineError: the port cannot be listened on.
    """
    settings = shelf.settings
    options = [
        ("grpc.max_receive_message_length", settings.limits.body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.max_concurrent_streams", _CALLS),
        ("grpc.max_connection_idle_ms", _IDLE_MS),
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=_CALLS)
    methods = {name: _handled(shelf, log, name, method) for name, method in _METHODS.items()}
    methods[_STREAMED] = grpc.stream_stream_rpc_method_handler(
        _streamed(shelf, log),
        response_serializer=message("ModelStreamInferResponse").SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods), _Elsewhere(shelf, log)))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        address = f"{host}:{settings.grpc_port}"
        credentials = _credentials(settings)
        if credentials is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise MachineError(f"cannot listen on {settings.host} port {settings.grpc_port}") from error
    await server.start()
    return server


def _credentials(settings: Settings) -> Any:
    """What encrypts connections; None for plain ones."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    pair = (settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())
    authority = settings.client_ca
    roots = None if authority is None else authority.read_bytes()
    return grpc.ssl_server_credentials([pair], root_certificates=roots, require_client_auth=roots is not None)


class _Elsewhere:
    """What gRPC asks for methods that there are not: it refuses them itself, and they are counted here.

    Args:
        shelf: whose refusals they are.
        log: told of each request, where that is wanted.
    """

    def __init__(self, shelf: Shelf, log: Log) -> None:
        self._shelf, self._log = shelf, log

    def service(self, asked: Any) -> None:
        """No method."""
        refused = RequestError("there is no such method", ABSENT)
        self._shelf.refusals.add("grpc", refused)
        self._log.request(method=asked.method, status=refused.status, **why(refused.message))


def _handled(shelf: Shelf, log: Log, name: str, method: Method) -> Any:
    async def call(sent: bytes, context: Any) -> Any:
        try:
            if name not in _OPEN:
                _check_token(shelf, context)
            answer = await method(shelf, _parsed(f"{name}Request", sent), context.time_remaining())
        except ChipwiseError as error:
            return await _abort(shelf, log, name, as_refusal(error), context)
        log.request(method=name, client=context.peer(), status=200)
        return answer

    return grpc.unary_unary_rpc_method_handler(
        call,
        response_serializer=message(f"{name}Response").SerializeToString,
    )


def _streamed(shelf: Shelf, log: Log) -> Any:
    async def calls(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        answer = message("ModelStreamInferResponse")
        try:
            _check_token(shelf, context)
        except RequestError as error:
            await _abort(shelf, log, _STREAMED, error, context)
        async for sent in _until_stopped(shelf, requests):
            status, reason, request = 200, "", message("ModelInferRequest")()
            try:
                request = _parsed("ModelInferRequest", sent)
                made = answer(infer_response=await _infer(shelf, request, context.time_remaining()))
            except ChipwiseError as error:
                refused = as_refusal(error)
                shelf.refusals.add("grpc", refused)
                status, reason = refused.status, refused.message
                made = answer(error_message=reason, infer_response={"id": request.id})
            log.request(method=_STREAMED, client=context.peer(), status=status, **why(reason))
            yield made

    return calls


async def _abort(shelf: Shelf, log: Log, name: str, refused: RequestError, context: Any) -> Any:
    """Refuse a call; this does not return."""
    shelf.refusals.add("grpc", refused)
    log.request(method=name, client=context.peer(), status=refused.status, **why(refused.message))
    return await context.abort(_CODES.get(refused.status, grpc.StatusCode.UNKNOWN), refused.message)


def _parsed(name: str, sent: bytes) -> Any:
    """A message.

    Raises:
        RequestError: the bytes are none.
    """
    try:
        return message(name).FromString(sent)
    except DecodeError as error:
        raise RequestError(f"the message is no {name}") from error


async def _until_stopped(shelf: Shelf, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The requests of a stream; once the server is told to stop, those only that are there already."""
    stopped = asyncio.ensure_future(shelf.stopped.wait())
    coming: asyncio.Future[bytes] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(anext(requests))
            await asyncio.wait((coming, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                await asyncio.wait((coming,), timeout=_LAST_S)
            if not coming.done():
                return
            try:
                request = coming.result()
            except StopAsyncIteration:
                return
            yield request
    finally:
        stopped.cancel()
        if coming is not None:
            coming.cancel()


def _check_token(shelf: Shelf, context: Any) -> None:
    if shelf.settings.token:
        metadata = dict(context.invocation_metadata() or ())
        given = metadata.get("authorization")
        check_token(given if isinstance(given, str) else None, shelf.settings.token)


async def _live(_shelf: Shelf, _request: Any, _remaining_s: float | None) -> Any:
    return message("ServerLiveResponse")(live=True)


async def _ready(shelf: Shelf, _request: Any, _remaining_s: float | None) -> Any:
    return message("ServerReadyResponse")(ready=shelf.ready)


async def _model_ready(shelf: Shelf, request: Any, _remaining_s: float | None) -> Any:
    serving = shelf.find(request.name, request.version)
    return message("ModelReadyResponse")(ready=not serving.broken and not shelf.stopping)


async def _server(_shelf: Shelf, _request: Any, _remaining_s: float | None) -> Any:
    return ParseDict(documents.server_metadata(), message("ServerMetadataResponse")())


async def _model(shelf: Shelf, request: Any, _remaining_s: float | None) -> Any:
    document = documents.model_metadata(shelf.find(request.name, request.version))
    return ParseDict(document, message("ModelMetadataResponse")())


async def _config(shelf: Shelf, request: Any, _remaining_s: float | None) -> Any:
    document = documents.model_config(shelf.find(request.name, request.version), shelf.settings.workers)
    return ParseDict({"config": document}, message("ModelConfigResponse")())


async def _statistics(shelf: Shelf, request: Any, _remaining_s: float | None) -> Any:
    document = documents.statistics(shelf, request.name, request.version)
    return ParseDict(document, message("ModelStatisticsResponse")())


async def _index(shelf: Shelf, request: Any, _remaining_s: float | None) -> Any:
    models = documents.repository_index(shelf, ready=request.ready)
    return ParseDict({"models": models}, message("RepositoryIndexResponse")())


async def _load(shelf: Shelf, request: Any, _remaining_s: float | None) -> Any:
    if request.parameters:
        raise RequestError("a model is opened from its plan file; parameters of load are not supported")
    await shelf.load(request.model_name)
    return message("RepositoryModelLoadResponse")()


async def _unload(shelf: Shelf, request: Any, _remaining_s: float | None) -> Any:
    if set(request.parameters) - {"unload_dependents"}:
        raise RequestError("unload takes no parameters but 'unload_dependents'")
    await shelf.unload(request.model_name)
    return message("RepositoryModelUnloadResponse")()


async def _infer(shelf: Shelf, sent: Any, remaining_s: float | None) -> Any:
    with shelf.room.share() as share:
        share.take(sent.ByteSize())
        return await _answered(shelf, sent, remaining_s)


async def _answered(shelf: Shelf, sent: Any, remaining_s: float | None) -> Any:
    request = read_message(sent, shelf.settings.limits)
    serving = shelf.find(sent.model_name, sent.model_version)
    call = Message("infer", arrays=fitted(request, serving.facts))
    limits_s = [each for each in (request.timeout_s, remaining_s) if each is not None]
    reply = await shelf.turns.infer(serving, call, min(limits_s, default=None))
    outputs = {spec.name: array for spec, array in zip(serving.facts.outputs, reply.arrays, strict=True)}
    made = message("ModelInferResponse")(model_name=serving.name, model_version=serving.version, id=request.id)
    for wanted, array in chosen(Reply(serving.name, serving.version, outputs, serving.facts.labels), request):
        made.outputs.add(name=wanted.name, datatype=of_array(array.dtype), shape=array.shape)
        made.raw_output_contents.append(to_bytes(array))
    return made


def read_message(sent: Any, limits: Limits) -> InferRequest:
    """Read a ModelInferRequest.

    Raises:
        RequestError: what does not fit, and of which tensor.
    """
    parameters = _parameters(sent.parameters)
    refuse_parameters(parameters)
    check_names("input", [each.name for each in sent.inputs], limits)
    check_names("output", [each.name for each in sent.outputs], limits)
    raw = list(sent.raw_input_contents)
    if raw and len(raw) != len(sent.inputs):
        raise RequestError(f"{len(raw)} raw tensors for {len(sent.inputs)} inputs")
    tensors = {}
    for index, each in enumerate(sent.inputs):
        refuse_parameters(_parameters(each.parameters))
        if raw and each.HasField("contents"):
            raise RequestError(f"tensor '{each.name}' has contents beside raw tensors")
        if raw:
            tensors[each.name] = from_bytes(each.name, each.datatype, each.shape, memoryview(raw[index]), limits)
        else:
            tensors[each.name] = _typed(each, limits)
    wanted = []
    for each in sent.outputs:
        told = _parameters(each.parameters)
        refuse_parameters(told)
        wanted.append(Wanted(each.name, binary=True, classes=classes_of(each.name, told)))
    identity = checked_text("id", sent.id, limits)
    return InferRequest(tensors, tuple(wanted), binary=True, id=identity, timeout_s=timeout_of(parameters))


def _parameters(sent: Any) -> dict[str, str | int | float | bool]:
    held = {name: (value, value.WhichOneof("choice")) for name, value in sent.items()}
    return {name: getattr(value, which) for name, (value, which) in held.items() if which is not None}


def _typed(tensor: Any, limits: Limits) -> NDArray[Any]:
    """A tensor from typed contents."""
    count = check_shape(tensor.name, tensor.datatype, tensor.shape, limits)
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        raise RequestError(f"tensor '{tensor.name}' is {tensor.datatype}, which is sent raw only")
    values = getattr(tensor.contents, field)
    if len(values) != count:
        raise RequestError(f"tensor '{tensor.name}' has {len(values)} values in {field}; its shape takes {count}")
    if tensor.datatype == BYTES:
        array = np.empty(count, object)
        array[:] = list(values)
        return array.reshape(tensor.shape)
    if tensor.datatype.startswith("FP"):  # NaN and infinity are numbers here, which they are not in JSON
        return np.array(values, NUMBERS[tensor.datatype]).reshape(tensor.shape)
    return from_values(tensor.name, tensor.datatype, tensor.shape, list(values), limits)


_METHODS: dict[str, Method] = {
    "ServerLive": _live,
    "ServerReady": _ready,
    "ModelReady": _model_ready,
    "ServerMetadata": _server,
    "ModelMetadata": _model,
    "ModelInfer": _infer,
    "ModelConfig": _config,
    "ModelStatistics": _statistics,
    "RepositoryIndex": _index,
    "RepositoryModelLoad": _load,
    "RepositoryModelUnload": _unload,
}
