"""Two linear layers in a row as one: what it is, where there is one, and its weights.

Two convolutions in a row are one, with W(t) = sum over t1 * d1 + t2 * s1 * d2 = t of W2(t2) W1(t1), stride s1 * s2 and
padding p1 + s1 * p2. Padding of the value between them is zeros, where the one would compute on: it is the same only if
the first has no bias there and reads nothing but its own padding.

>>> first = Form("Conv", 8, 3, 1, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), biased=True)
>>> second = Form("Conv", 4, 8, 1, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), biased=True)
>>> join(first, second).kernel, join(second, first)
((3, 3), None)
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from chipwise.optimize.linear_layers import Form, Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def join(first: Form, second: Form) -> Form | None:
    """The layer that computes what two in a row do; None where there is none, at the borders too."""
    if first.outputs != second.inputs or len(first.kernel) != len(second.kernel):
        return None
    turned = [form for form in (first, second) if form.op == "ConvTranspose"]
    if turned:
        other = second if turned[0] is first else first
        fits = len(turned) == 1 and other.pointwise and (turned[0] is first or not first.biased)
    else:
        fits = _zero_outside(first, second)
    if not fits:
        return None
    step = _steps(first, second)
    reach = [a + s * (b - 1) for a, b, s in zip(first.extent, second.extent, first.strides, strict=True)]
    if turned:
        reach = [a + b - 1 for a, b in zip(first.extent, second.extent, strict=True)]
    ops = {first.op, second.op} - {"Scale"}
    return Form(
        op="Scale" if not ops else "Gemm" if ops == {"Gemm", "MatMul"} else turned[0].op if turned else min(ops),
        outputs=second.outputs,
        inputs=first.inputs,
        groups=_groups(first, second),
        kernel=tuple((r - 1) // d + 1 for r, d in zip(reach, step, strict=True)),
        strides=tuple(a * b for a, b in zip(first.strides, second.strides, strict=True)),
        dilations=step,
        pads=tuple(a + s * b for a, b, s in zip(first.pads, second.pads, 2 * first.strides, strict=True))
        if not turned
        else turned[0].pads,
        biased=first.biased or second.biased,
        positions=turned[0].positions if turned else second.positions,
        grown=turned[0].grown if turned else (),
    )


def _zero_outside(first: Form, second: Form) -> bool:
    """True when the first layer, computed on beyond its image, gives the zeros that the second is padded with."""
    dims = len(second.kernel)
    for axis in range(dims):
        before, behind = second.pads[axis], second.pads[axis + dims]
        reach, stride = first.extent[axis], first.strides[axis]
        if (before or behind) and first.biased:
            return False
        if (before and stride + first.pads[axis] < reach) or (behind and first.pads[axis + dims] < reach - 1):
            return False
    return True


def _steps(first: Form, second: Form) -> tuple[int, ...]:
    """Distances between the taps of two layers joined."""
    strides = (1,) * len(first.kernel) if first.op == "ConvTranspose" else first.strides
    own = [0 if k == 1 else d for k, d in zip(first.kernel, first.dilations, strict=True)]
    further = [0 if k == 1 else s * d for k, s, d in zip(second.kernel, strides, second.dilations, strict=True)]
    return tuple(math.gcd(a, b) or 1 for a, b in zip(own, further, strict=True))


def _groups(first: Form, second: Form) -> int:
    if second.depthwise:
        return first.groups
    return second.groups if first.depthwise else math.gcd(first.groups, second.groups)


def compose(first: Layer, second: Layer) -> Layer:
    """The layer of `join`, with its weights in float64."""
    form = join(first.form, second.form)
    assert form is not None, "asked for forms that join"
    one, two = first.form, second.form
    strides = (1,) * len(one.kernel) if one.op == "ConvTranspose" else one.strides
    weights = np.zeros((form.outputs, form.inputs // form.groups, *form.kernel))
    left, right = first.weights.astype(np.float64), second.weights.astype(np.float64)
    for tap in np.ndindex(one.kernel):
        for further in np.ndindex(two.kernel):
            place = tuple(
                (a * d + b * s * e) // step
                for a, d, b, s, e, step in zip(
                    tap, one.dilations, further, strides, two.dilations, form.dilations, strict=True
                )
            )
            weights[..., *place] += _through(left[..., *tap], one, right[..., *further], two)
    bias = None if second.bias is None else second.bias.astype(np.float64)
    if first.bias is not None:
        total = right.reshape(*right.shape[:2], -1).sum(2).reshape(two.groups, -1, right.shape[1])
        moved = (total @ first.bias.astype(np.float64).reshape(two.groups, -1, 1)).reshape(-1)
        bias = moved if bias is None else bias + moved
    return Layer(form, weights, bias)


def _through(first: NDArray[Any], one: Form, second: NDArray[Any], two: Form) -> NDArray[Any]:
    """Weights of two taps in a row: [outputs, inputs / groups]."""
    if two.depthwise:
        return np.asarray(second * first)
    if one.depthwise:
        split = second.reshape(two.groups, -1, second.shape[1]) * first.reshape(two.groups, 1, -1)
        return np.asarray(split.reshape(second.shape))
    groups = math.gcd(one.groups, two.groups)
    left = regroup(first, one.groups, groups).reshape(groups, -1, one.inputs // groups)
    right = regroup(second, two.groups, groups).reshape(groups, -1, two.inputs // groups)
    return np.asarray((right @ left).reshape(two.outputs, -1))


def regroup(weights: NDArray[Any], groups: int, fewer: int) -> NDArray[Any]:
    """Weights of `groups` groups as those of `fewer`, with zeros between: [outputs, inputs / fewer, *kernel]."""
    times = groups // fewer
    if times == 1:
        return weights
    outputs, inputs, *kernel = weights.shape
    split = weights.reshape(fewer, times, outputs // groups, inputs, *kernel)
    made = np.zeros((fewer, times, outputs // groups, times, inputs, *kernel), weights.dtype)
    for each in range(times):
        made[:, each, :, each] = split[:, each]
    return made.reshape(outputs, inputs * times, *kernel)


def comparable(forms: Sequence[Form]) -> list[Form]:
    """The same forms, comparable in `multiply_adds`: without positions unless they are known of all."""
    known = all(form.positions is not None for form in forms)
    return list(forms) if known else [replace(form, positions=None) for form in forms]


def shrinks(form: Form) -> bool:
    """True when a layer surely has no more output than input positions, so that one before it is applied as often."""
    dims = len(form.kernel)
    if form.op == "ConvTranspose":
        return False
    return all(form.pads[axis] + form.pads[axis + dims] < form.extent[axis] for axis in range(dims))
