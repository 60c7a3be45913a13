"""The messages of the protocol's gRPC service, built from a table of their fields when the module is imported.

Source: "Open Inference Protocol v2" (gRPC) and Triton's grpc_service.proto and model_config.proto: names, numbers and
types of fields are the interface. What is not in the table (shared memory, tracing, ensembles) is not served; a field
that is not known is passed over, as protobuf does. They live in a pool of their own, beside whatever else a process
has loaded under the same names.

>>> message("ServerLiveResponse")(live=True).live
True
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _FIELD.TYPE_BOOL, "int32": _FIELD.TYPE_INT32, "int64": _FIELD.TYPE_INT64, "uint32": _FIELD.TYPE_UINT32,
    "uint64": _FIELD.TYPE_UINT64, "float": _FIELD.TYPE_FLOAT, "double": _FIELD.TYPE_DOUBLE,
    "string": _FIELD.TYPE_STRING, "bytes": _FIELD.TYPE_BYTES,
}  # fmt: skip
_ENUMS = {
    "DataType": (
        "TYPE_INVALID", "TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32", "TYPE_UINT64", "TYPE_INT8",
        "TYPE_INT16", "TYPE_INT32", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32", "TYPE_FP64", "TYPE_STRING", "TYPE_BF16",
    ),
    "ModelInstanceGroup.Kind": ("KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"),
}  # fmt: skip
_DURATIONS = (
    "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss",
)  # fmt: skip
# Message: fields as "number name type"; a type ends with "[]" where it is repeated and with "{}" where it is the value
# of a map from strings; a name begins with "choice:" where one of those excludes the others.
_MESSAGES: dict[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 live bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 ready bool",
    "ModelReadyRequest": "1 name string, 2 version string",
    "ModelReadyResponse": "1 ready bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 name string, 2 version string, 3 extensions string[]",
    "ModelMetadataRequest": "1 name string, 2 version string",
    "ModelMetadataResponse": "1 name string, 2 versions string[], 3 platform string,"
    "4 inputs ModelMetadataResponse.TensorMetadata[], 5 outputs ModelMetadataResponse.TensorMetadata[]",
    "ModelMetadataResponse.TensorMetadata": "1 name string, 2 datatype string, 3 shape int64[]",
    "InferParameter": "1 choice:bool_param bool, 2 choice:int64_param int64, 3 choice:string_param string,"
    "4 choice:double_param double, 5 choice:uint64_param uint64",
    "InferTensorContents": "1 bool_contents bool[], 2 int_contents int32[], 3 int64_contents int64[],"
    "4 uint_contents uint32[], 5 uint64_contents uint64[], 6 fp32_contents float[], 7 fp64_contents double[],"
    "8 bytes_contents bytes[]",
    "ModelInferRequest": "1 model_name string, 2 model_version string, 3 id string, 4 parameters InferParameter{},"
    "5 inputs ModelInferRequest.InferInputTensor[], 6 outputs ModelInferRequest.InferRequestedOutputTensor[],"
    "7 raw_input_contents bytes[]",
    "ModelInferRequest.InferInputTensor": "1 name string, 2 datatype string, 3 shape int64[],"
    "4 parameters InferParameter{}, 5 contents InferTensorContents",
    "ModelInferRequest.InferRequestedOutputTensor": "1 name string, 2 parameters InferParameter{}",
    "ModelInferResponse": "1 model_name string, 2 model_version string, 3 id string, 4 parameters InferParameter{},"
    "5 outputs ModelInferResponse.InferOutputTensor[], 6 raw_output_contents bytes[]",
    "ModelInferResponse.InferOutputTensor": "1 name string, 2 datatype string, 3 shape int64[],"
    "4 parameters InferParameter{}, 5 contents InferTensorContents",
    "ModelStreamInferResponse": "1 error_message string, 2 infer_response ModelInferResponse",
    "ModelConfigRequest": "1 name string, 2 version string",
    "ModelConfigResponse": "1 config ModelConfig",
    "ModelConfig": "1 name string, 2 platform string, 17 backend string, 3 version_policy ModelVersionPolicy,"
    "4 max_batch_size int32, 5 input ModelInput[], 6 output ModelOutput[],"
    "11 choice:dynamic_batching ModelDynamicBatching,"
    "7 instance_group ModelInstanceGroup[], 14 parameters ModelParameter{}",
    "ModelVersionPolicy": "1 choice:latest ModelVersionPolicy.Latest",
    "ModelVersionPolicy.Latest": "1 num_versions uint32",
    "ModelTensorReshape": "1 shape int64[]",
    "ModelInput": "1 name string, 2 data_type DataType, 4 dims int64[], 5 reshape ModelTensorReshape",
    "ModelOutput": "1 name string, 2 data_type DataType, 3 dims int64[], 5 reshape ModelTensorReshape,"
    "4 label_filename string",
    "ModelDynamicBatching": "1 preferred_batch_size int32[], 2 max_queue_delay_microseconds uint64",
    "ModelInstanceGroup": "1 name string, 4 kind ModelInstanceGroup.Kind, 2 count int32",
    "ModelParameter": "1 string_value string",
    "ModelStatisticsRequest": "1 name string, 2 version string",
    "ModelStatisticsResponse": "1 model_stats ModelStatistics[]",
    "ModelStatistics": "1 name string, 2 version string, 3 last_inference uint64, 4 inference_count uint64,"
    "5 execution_count uint64, 6 inference_stats InferStatistics, 7 batch_stats InferBatchStatistics[]",
    "InferStatistics": ",".join(f"{index} {name} StatisticDuration" for index, name in enumerate(_DURATIONS, 1)),
    "InferBatchStatistics": "1 batch_size uint64, 2 compute_input StatisticDuration,"
    "3 compute_infer StatisticDuration, 4 compute_output StatisticDuration",
    "StatisticDuration": "1 count uint64, 2 ns uint64",
    "RepositoryIndexRequest": "1 repository_name string, 2 ready bool",
    "RepositoryIndexResponse": "1 models RepositoryIndexResponse.ModelIndex[]",
    "RepositoryIndexResponse.ModelIndex": "1 name string, 2 version string, 3 state string, 4 reason string",
    "ModelRepositoryParameter": "1 choice:bool_param bool, 2 choice:int64_param int64, 3 choice:string_param string,"
    "4 choice:bytes_param bytes",
    "RepositoryModelLoadRequest": "1 repository_name string, 2 model_name string,"
    "3 parameters ModelRepositoryParameter{}",
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": "1 repository_name string, 2 model_name string,"
    "3 parameters ModelRepositoryParameter{}",
    "RepositoryModelUnloadResponse": "",
}


def message(name: str) -> Any:
    """The class of a message, as "ModelInferRequest"."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="chipwise_inference.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, Any] = {}
    for name, fields in _MESSAGES.items():
        outer, _, inner = name.rpartition(".")
        made[name] = (made[outer].nested_type if outer else file.message_type).add(name=inner)
        for field in filter(None, map(str.strip, fields.split(","))):
            _add_field(made[name], name, field)
    for name, values in _ENUMS.items():
        outer, _, inner = name.rpartition(".")
        enum = (made[outer] if outer else file).enum_type.add(name=inner)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_field(owner: Any, path: str, text: str) -> None:
    number, name, kind = text.split()
    choice, _, name = name.rpartition(":")
    repeated, mapped = kind.endswith("[]"), kind.endswith("{}")
    kind = kind.removesuffix("[]").removesuffix("{}")
    if mapped:
        kind = _add_entry(owner, path, name, kind)
    field = owner.field.add(name=name, number=int(number))
    field.label = _FIELD.LABEL_REPEATED if repeated or mapped else _FIELD.LABEL_OPTIONAL
    _set_type(field, kind)
    if choice:
        if not owner.oneof_decl:
            owner.oneof_decl.add(name=choice)
        field.oneof_index = 0


def _add_entry(owner: Any, path: str, name: str, kind: str) -> str:
    """The pair of key and value that protobuf makes of a map; its name."""
    entry = owner.nested_type.add(name=f"{name.capitalize()}Entry")
    entry.options.map_entry = True
    for number, part, part_kind in ((1, "key", "string"), (2, "value", kind)):
        _set_type(entry.field.add(name=part, number=number, label=_FIELD.LABEL_OPTIONAL), part_kind)
    return f"{path}.{entry.name}"


def _set_type(field: Any, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    field.type = _FIELD.TYPE_ENUM if kind in _ENUMS else _FIELD.TYPE_MESSAGE
    field.type_name = f".{PACKAGE}.{kind}"


_POOL = _pool()
