"""The part of Caffe's messages that describes a network, built without protoc: names, numbers, types and defaults.

From caffe.proto (BVLC/caffe, src/caffe/proto; `permute_param` and `norm_param` from its SSD branch). Other fields are
skipped when they are met, as protobuf does.

>>> net = network(); net.layer.add(name="conv1", type="Convolution").convolution_param.num_output = 8
>>> net.layer[0].convolution_param.bias_term
True
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "float": _Field.TYPE_FLOAT,
    "int": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
}
_ENUMS: dict[str, dict[str, int]] = {
    "Phase": {"TRAIN": 0, "TEST": 1},
    "EltwiseOp": {"PROD": 0, "SUM": 1, "MAX": 2},
    "PoolMethod": {"MAX": 0, "AVE": 1, "STOCHASTIC": 2},
    "NormRegion": {"ACROSS_CHANNELS": 0, "WITHIN_CHANNEL": 1},
    "LayerType": {
        "NONE": 0, "ACCURACY": 1, "BNLL": 2, "CONCAT": 3, "CONVOLUTION": 4, "DATA": 5, "DROPOUT": 6,
        "EUCLIDEAN_LOSS": 7, "FLATTEN": 8, "HDF5_DATA": 9, "HDF5_OUTPUT": 10, "IM2COL": 11, "IMAGE_DATA": 12,
        "INFOGAIN_LOSS": 13, "INNER_PRODUCT": 14, "LRN": 15, "MULTINOMIAL_LOGISTIC_LOSS": 16, "POOLING": 17,
        "RELU": 18, "SIGMOID": 19, "SOFTMAX": 20, "SOFTMAX_LOSS": 21, "SPLIT": 22, "TANH": 23, "WINDOW_DATA": 24,
        "ELTWISE": 25, "POWER": 26, "SIGMOID_CROSS_ENTROPY_LOSS": 27, "HINGE_LOSS": 28, "MEMORY_DATA": 29,
        "ARGMAX": 30, "THRESHOLD": 31, "DUMMY_DATA": 32, "SLICE": 33, "MVN": 34, "ABSVAL": 35, "SILENCE": 36,
        "CONTRASTIVE_LOSS": 37, "EXP": 38, "DECONVOLUTION": 39,
    },
}  # fmt: skip
# Message: "type name=number" ("*" for repeated; ":value" for a default other than nothing).
_MESSAGES: dict[str, str] = {
    "BlobShape": "int* dim=1",
    # Packed numbers are bytes on the wire; declared so, they are not turned into Python numbers one by one.
    "BlobProto": (
        "int num=1; int channels=2; int height=3; int width=4; bytes data=5; BlobShape shape=7; bytes double_data=8"
    ),
    "NetStateRule": "Phase phase=1; int min_level=2; int max_level=3; string* stage=4; string* not_stage=5",
    "NetState": "Phase phase=1; int level=2; string* stage=3",
    "InputParameter": "BlobShape* shape=1",
    "BatchNormParameter": "float eps=3:1e-5",
    "ConcatParameter": "int axis=2:1; int concat_dim=1:1",
    "ConvolutionParameter": (
        "int num_output=1; bool bias_term=2:true; int* pad=3; int* kernel_size=4; int group=5:1; int* stride=6; "
        "int pad_h=9; int pad_w=10; int kernel_h=11; int kernel_w=12; int stride_h=13; int stride_w=14; "
        "int axis=16:1; int* dilation=18"
    ),
    "EltwiseParameter": "EltwiseOp operation=1:SUM; float* coeff=2",
    "ELUParameter": "float alpha=1:1",
    "FlattenParameter": "int axis=1:1; int end_axis=2:-1",
    "InnerProductParameter": "int num_output=1; bool bias_term=2:true; int axis=5:1; bool transpose=6",
    "LRNParameter": "int local_size=1:5; float alpha=2:1; float beta=3:0.75; NormRegion norm_region=4; float k=5:1",
    "NormalizeParameter": "bool across_spatial=1:true; bool channel_shared=3:true; float eps=4:1e-10",
    "PermuteParameter": "int* order=1",
    "PoolingParameter": (
        "PoolMethod pool=1; int* kernel_size=2; int* stride=3; int* pad=4; int kernel_h=5; int kernel_w=6; "
        "int stride_h=7; int stride_w=8; int pad_h=9; int pad_w=10; bool global_pooling=12"
    ),
    "PowerParameter": "float power=1:1; float scale=2:1; float shift=3",
    "PReLUParameter": "bool channel_shared=2",
    "ReLUParameter": "float negative_slope=1",
    "ReshapeParameter": "BlobShape shape=1; int axis=2; int num_axes=3:-1",
    "ScaleParameter": "int axis=1:1; int num_axes=2:1; bool bias_term=4",
    "SliceParameter": "int slice_dim=1:1; int* slice_point=2; int axis=3:1",
    "SoftmaxParameter": "int axis=2:1",
    "LayerParameter": (
        "string name=1; string type=2; string* bottom=3; string* top=4; BlobProto* blobs=7; NetStateRule* include=8; "
        "NetStateRule* exclude=9; ConcatParameter concat_param=104; ConvolutionParameter convolution_param=106; "
        "EltwiseParameter eltwise_param=110; InnerProductParameter inner_product_param=117; "
        "LRNParameter lrn_param=118; PoolingParameter pooling_param=121; PowerParameter power_param=122; "
        "ReLUParameter relu_param=123; SoftmaxParameter softmax_param=125; SliceParameter slice_param=126; "
        "PReLUParameter prelu_param=131; ReshapeParameter reshape_param=133; FlattenParameter flatten_param=135; "
        "BatchNormParameter batch_norm_param=139; ELUParameter elu_param=140; ScaleParameter scale_param=142; "
        "InputParameter input_param=143; PermuteParameter permute_param=202; NormalizeParameter norm_param=206"
    ),
    "V1LayerParameter": (
        "string* bottom=2; string* top=3; string name=4; LayerType type=5; BlobProto* blobs=6; "
        "ConcatParameter concat_param=9; ConvolutionParameter convolution_param=10; "
        "InnerProductParameter inner_product_param=17; LRNParameter lrn_param=18; PoolingParameter pooling_param=19; "
        "PowerParameter power_param=21; EltwiseParameter eltwise_param=24; ReLUParameter relu_param=30; "
        "SliceParameter slice_param=31; NetStateRule* include=32; NetStateRule* exclude=33; "
        "SoftmaxParameter softmax_param=39; FlattenParameter flatten_param=135"  # the last is here for its defaults
    ),
    "NetParameter": (
        "string name=1; V1LayerParameter* layers=2; string* input=3; int* input_dim=4; NetState state=6; "
        "BlobShape* input_shape=8; LayerParameter* layer=100"
    ),
}


def network() -> Any:
    """An empty NetParameter message."""
    return _NET()


def type_name(kind: int) -> str:
    """Name of an old layer's type, as its enum has it."""
    return next((name for name, number in _ENUMS["LayerType"].items() if number == kind), str(kind))


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="chipwise/caffe.proto", package="caffe", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split("; "):
            _add_field(message, text)
    for name, values in _ENUMS.items():
        # Values of enums share their message's scope: each enum gets one of its own.
        inner = file.message_type.add(name=f"{name}s").enum_type.add(name=name)
        for key, number in values.items():
            inner.value.add(name=key, number=number)
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, text: str) -> None:
    kind, _, rest = text.partition(" ")
    name, _, facts = rest.partition("=")
    number, _, default = facts.partition(":")
    label = _Field.LABEL_REPEATED if kind.endswith("*") else _Field.LABEL_OPTIONAL
    kind = kind.removesuffix("*")
    field = message.field.add(name=name, number=int(number), label=label)
    if default:
        field.default_value = default
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    elif kind in _ENUMS:
        field.type, field.type_name = _Field.TYPE_ENUM, f".caffe.{kind}s.{kind}"
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".caffe.{kind}"


def _net_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


_NET = _net_class()
