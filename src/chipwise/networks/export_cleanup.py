"""Make the exporter's graph plain: constants folded, shapes fixed, names kept, nothing that training needs removed.

Precondition: a graph from torch.onnx.export(optimize=False), whose parameters are initializers named as in state_dict.
Postcondition: the same function; float initializers are exactly the state_dict's; batch-norms still there; no metadata.
"""

from __future__ import annotations

import ast

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes
from onnxscript import optimizer

from chipwise.core.network import Network
from chipwise.networks import onnx_file
from chipwise.networks.export_recurrences import simplify_recurrences

_FOLD_LIMIT = 1 << 20  # elements: masks and position tables are far below


def clean(model: ir.Model, state_keys: frozenset[str]) -> bytes:
    """Clean an exported model in place and serialize it.

    Args:
        model: as exported.
        state_keys: keys of the module's state_dict; initializers with these names are left alone.
    """
    _name_nodes(model)
    kept = {value for value in model.graph.initializers.values() if value.name in state_keys and _is_float(value)}
    optimizer.fold_constants(
        model,
        onnx_shape_inference=True,
        input_size_limit=_FOLD_LIMIT,
        output_size_limit=_FOLD_LIMIT,
        should_fold=lambda node: _foldable(node, kept),
    )
    _drop_zero_bias(model, state_keys)
    _fix_reshapes(model)
    simplify_recurrences(model, state_keys)
    _use_global_pools(model)
    for step in (
        passes.IdentityEliminationPass(),
        passes.RemoveUnusedNodesPass(),
        passes.RemoveUnusedOpsetsPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=False, size_limit=0),
        passes.ClearMetadataAndDocStringPass(),
    ):
        step(model)
    _name_outputs(model)
    model.producer_name, model.producer_version, model.doc_string = "chipwise", None, None
    return onnx_file.serialize(Network("exported", (), graph=model))


def _constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    return None if value is None else ir.convenience.get_const_tensor(value)


def _is_float(value: ir.Value) -> bool:
    return value.dtype is not None and value.dtype.is_floating_point()


def _foldable(node: ir.Node, kept: set[ir.Value]) -> bool | None:
    """Never fold what reads a parameter's values (its shape may be read)."""
    return False if node.op_type != "Shape" and any(value in kept for value in node.inputs) else None


def _name_nodes(model: ir.Model) -> None:
    """Name nodes after the module that made them: "features.0/Conv"."""
    seen: dict[str, int] = {}
    for node in model.graph:
        scopes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "['', '']"))
        scope = scopes[-2] if len(scopes) > 1 else ""
        name = f"{scope}/{node.op_type}" if scope else node.op_type
        seen[name] = seen.get(name, -1) + 1
        node.name = f"{name}_{seen[name]}" if seen[name] else name


def _drop_zero_bias(model: ir.Model, state_keys: frozenset[str]) -> None:
    """A convolution without bias is exported with one of zeros; that is no parameter of the network."""
    for node in model.graph:
        if node.op_type not in ("Conv", "ConvTranspose") or len(node.inputs) < 3:
            continue
        bias = node.inputs[2]
        tensor = _constant(bias)
        if bias is not None and bias.name not in state_keys and tensor is not None and not np.any(tensor.numpy()):
            node.replace_input_with(2, None)
            node.resize_inputs(2)


def _fix_reshapes(model: ir.Model) -> None:
    """Where only the batch of a reshape's result is free, say so with -1 instead of computing the shape."""
    for node in list(model.graph):
        shape = node.outputs[0].shape
        if node.op_type != "Reshape" or shape is None or _constant(node.inputs[1]) is not None:
            continue
        free = [axis for axis, dim in enumerate(shape) if not isinstance(dim, int)]
        if len(free) == 1 and 0 not in shape:
            sizes = [dim if isinstance(dim, int) else -1 for dim in shape]
            constant = ir.node("Constant", [], {"value_ints": sizes}, name=f"{node.name}/shape")
            constant.outputs[0].name = f"{node.outputs[0].name}_shape"
            constant.outputs[0].dtype = ir.DataType.INT64
            constant.outputs[0].shape = ir.Shape([len(sizes)])
            model.graph.insert_before(node, constant)
            node.replace_input_with(1, constant.outputs[0])
            node.attributes.pop("allowzero", None)


def _use_global_pools(model: ir.Model) -> None:
    """Maximum or mean over both picture axes is a pool that every runtime has a fast kernel for."""
    pools = {"ReduceMax": "GlobalMaxPool", "ReduceMean": "GlobalAveragePool"}
    for node in model.graph:
        shape = node.inputs[0].shape if node.inputs and node.inputs[0] is not None else None
        if node.op_type not in pools or shape is None or len(shape) != 4 or len(node.inputs) < 2:
            continue
        axes = _constant(node.inputs[1])
        keeps = node.attributes.get_int("keepdims", 1)
        if axes is not None and keeps and sorted(int(axis) % 4 for axis in axes.numpy()) == [2, 3]:
            node.op_type = pools[node.op_type]
            node.attributes.clear()
            node.replace_input_with(1, None)
            node.resize_inputs(1)


def _name_outputs(model: ir.Model) -> None:
    outputs = model.graph.outputs
    if len(outputs) == 1:
        outputs[0].name = "scores" if outputs[0].shape is not None and len(outputs[0].shape) == 2 else "output"
        return
    for index, value in enumerate(outputs):
        value.name = f"output_{index}"
