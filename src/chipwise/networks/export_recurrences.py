"""Recurrent layers as torch exports them, without the shape arithmetic around them.

torch spells out initial states of zeros, which ONNX has by default, and computes the shape in which the directions of a
layer lie side by side. Both hide from other tools what shapes there are.

>>> import torch
>>> from chipwise.networks.export_module import export_module
>>> import onnx
>>> graph = onnx.load_from_string(export_module(torch.nn.GRU(3, 4, batch_first=True), (torch.zeros(1, 5, 3),))).graph
>>> [node.op_type for node in graph.node if node.op_type in ("Shape", "Expand", "GRU")]
['GRU']
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_STATES = (5, 6)  # operands: the initial hidden state, and LSTM's initial cell


def simplify_recurrences(model: ir.Model, state_keys: frozenset[str]) -> None:
    """Drop initial states of zeros, and give the reshape behind a recurrent layer a constant shape, in place.

    What is no longer read stays in the graph for another pass to remove.

    Args:
        model: as exported.
        state_keys: names of the module's parameters and buffers; a state that is trained is kept, zero or not.
    """
    for node in list(model.graph):
        if node.op_type in _RECURRENT:
            for place in _STATES:
                if place < len(node.inputs) and _is_zero(node.inputs[place], state_keys):
                    node.replace_input_with(place, None)
        elif node.op_type == "Reshape" and _joins_directions(node):
            _set_shape(model.graph, node, (0, 0, -1))


def _is_zero(value: ir.Value | None, state_keys: frozenset[str]) -> bool:
    """Whether a value is a zero, enlarged and cut in any way."""
    if value is None or value.name in state_keys:
        return False
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is not None:
        return not np.any(tensor.numpy())
    maker = value.producer()
    if maker is None or maker.op_type not in ("Expand", "Slice", "Identity"):
        return False
    return _is_zero(maker.inputs[0], state_keys)


def _joins_directions(node: ir.Node) -> bool:
    """Whether a reshape reads [T, N, D, H], which a recurrent layer has given as [T, D, N, H]."""
    swap = None if node.inputs[0] is None else node.inputs[0].producer()
    if swap is None or swap.op_type != "Transpose" or list(swap.attributes.get_ints("perm", [])) != [0, 2, 1, 3]:
        return False
    layer = None if swap.inputs[0] is None else swap.inputs[0].producer()
    return layer is not None and layer.op_type in _RECURRENT and swap.inputs[0] is layer.outputs[0]


def _set_shape(graph: ir.Graph, node: ir.Node, sizes: tuple[int, ...]) -> None:
    constant = ir.node("Constant", [], {"value_ints": list(sizes)}, name=f"{node.name}/shape")
    constant.outputs[0].name = f"{node.outputs[0].name}_shape"
    constant.outputs[0].dtype = ir.DataType.INT64
    constant.outputs[0].shape = ir.Shape([len(sizes)])
    graph.insert_before(node, constant)
    node.replace_input_with(1, constant.outputs[0])
    node.attributes.pop("allowzero", None)
