"""ONNX operators that compute every element by itself, as PyTorch calls.

>>> import torch
>>> ARITHMETIC["HardSigmoid"]([torch.tensor([-9.0, 0.0])], {}).tolist()
[0.0, 0.5]
"""

from __future__ import annotations

from functools import reduce
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name that everyone knows it by)

from chipwise.runtimes.torch_values import Attributes, Operator, UnsupportedError, Values, plain, text


def _pow(values: Values, attributes: Attributes) -> Tensor:  # noqa: ARG001 (every operator has this form)
    data, exponent = values
    return torch.pow(data, exponent).to(data.dtype)


def _div(values: Values, attributes: Attributes) -> Tensor:  # noqa: ARG001 (every operator has this form)
    left, right = values
    return torch.div(left, right) if left.is_floating_point() else torch.div(left, right, rounding_mode="trunc")


def _clip(values: Values, attributes: Attributes) -> Tensor:
    data, low, high = (*values, None, None)[:3]
    low = attributes.get("min") if low is None else low
    high = attributes.get("max") if high is None else high
    if low is None and high is None:
        return cast("Tensor", data)
    return torch.clamp(data, _number(low), _number(high))


def _number(value: object) -> float | None:
    if isinstance(value, tuple):  # old exporters write a limit as a list of one
        (value,) = value
    return cast("float | None", value)


def _gelu(values: Values, attributes: Attributes) -> Tensor:
    return F.gelu(values[0], approximate=text(attributes, "approximate", "none"))


def _hard_sigmoid(values: Values, attributes: Attributes) -> Tensor:
    alpha, beta = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
    return torch.clamp(alpha * values[0] + beta, 0.0, 1.0)


def _prelu(values: Values, attributes: Attributes) -> Tensor:  # noqa: ARG001 (every operator has this form)
    data, slope = values
    return torch.where(data < 0, data * slope, data)


def _selu(values: Values, attributes: Attributes) -> Tensor:
    alpha = attributes.get("alpha", 1.67326319217681884765625)
    gamma = attributes.get("gamma", 1.05070102214813232421875)
    return cast("Tensor", gamma * torch.where(values[0] > 0, values[0], alpha * torch.expm1(values[0])))


def _mod(values: Values, attributes: Attributes) -> Tensor:
    return torch.fmod(*values) if attributes.get("fmod", 0) else torch.remainder(*values)


def _cast(values: Values, attributes: Attributes) -> Tensor:
    if not isinstance(attributes["to"], torch.dtype):
        raise UnsupportedError("Cast to a type that PyTorch lacks")
    return cast("Tensor", values[0].to(attributes["to"]))


def _fold(call: str) -> Operator:
    """An operator on any number of inputs."""
    return lambda values, attributes: reduce(getattr(torch, call), values)  # noqa: ARG005 (the form of every operator)


def _mean(values: Values, attributes: Attributes) -> Tensor:  # noqa: ARG001 (every operator has this form)
    return cast("Tensor", reduce(torch.add, values) / len(values))


ARITHMETIC: dict[str, Operator] = {
    "Abs": plain(torch.abs),
    "Add": plain(torch.add),
    "And": plain(torch.logical_and),
    "Cast": _cast,
    "Ceil": plain(torch.ceil),
    "Celu": lambda values, attributes: F.celu(values[0], attributes.get("alpha", 1.0)),
    "Clip": _clip,
    "Cos": plain(torch.cos),
    "Div": _div,
    "Dropout": lambda values, attributes: values[0],  # noqa: ARG005 (every operator has this form)
    "Elu": lambda values, attributes: F.elu(values[0], attributes.get("alpha", 1.0)),
    "Equal": plain(torch.eq),
    "Erf": plain(torch.erf),
    "Exp": plain(torch.exp),
    "Floor": plain(torch.floor),
    "Gelu": _gelu,
    "Greater": plain(torch.gt),
    "GreaterOrEqual": plain(torch.ge),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": plain(F.hardswish),
    "Identity": lambda values, attributes: values[0],  # noqa: ARG005 (every operator has this form)
    "LeakyRelu": lambda values, attributes: F.leaky_relu(values[0], attributes.get("alpha", 0.01)),
    "Less": plain(torch.lt),
    "LessOrEqual": plain(torch.le),
    "Log": plain(torch.log),
    "Max": _fold("maximum"),
    "Mean": _mean,
    "Min": _fold("minimum"),
    "Mish": plain(F.mish),
    "Mod": _mod,
    "Mul": plain(torch.mul),
    "Neg": plain(torch.neg),
    "Not": plain(torch.logical_not),
    "Or": plain(torch.logical_or),
    "PRelu": _prelu,
    "Pow": _pow,
    "Reciprocal": plain(torch.reciprocal),
    "Relu": plain(torch.relu),
    "Round": plain(torch.round),
    "Selu": _selu,
    "Sigmoid": plain(torch.sigmoid),
    "Sign": plain(torch.sign),
    "Sin": plain(torch.sin),
    "Softplus": lambda values, attributes: F.softplus(values[0], threshold=60.0),  # noqa: ARG005 (as above)
    "Softsign": plain(F.softsign),
    "Sqrt": plain(torch.sqrt),
    "Sub": plain(torch.sub),
    "Sum": _fold("add"),
    "Tanh": plain(torch.tanh),
    "ThresholdedRelu": lambda values, attributes: F.threshold(values[0], attributes.get("alpha", 1.0), 0.0),
    "Where": plain(torch.where),
    "Xor": plain(torch.logical_xor),
}
