"""Networks that benchmarks make hold what they are made to hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from integers import few, integers
from made import MADE
from passes import alone
from suite import light

FIRES = {
    "no-ops": "drop_noops",
    "copied-joins": "drop_copies",
    "twice": "share_equal",
    "gelus": "fuse_activations",
    "channels-last": "move_transposes",
    "norms-before": "fold_batch_norm",
    "scaled": "fold_scales",
    "denormals": "flush_denormals",
    "ringed": "trim_kernels",
    "pointwise-behind": "collapse_chains",
    "thin": "split_low_rank",
    "mishes": "spell_out_activations",
    "hard-gates": "fuse_hard_sigmoid",
    "blurs": "split_kernels",
    "joined-halves": "merge_siblings",
}


@pytest.mark.parametrize("network", FIRES)
def test_a_pass_alone_finds_its_work(network: str, tmp_path: Path) -> None:
    model = ir.serde.deserialize_model(onnx.load(MADE[network](tmp_path)))
    change = alone(network, model, FIRES[network])
    assert change is not None
    assert change.before != change.after
    assert alone(network, model, "remove_dead_channels") is None


def test_scales_of_a_light_network_are_no_zeros(tmp_path: Path) -> None:
    model = onnx.load(light("inception_v2", tmp_path))
    scales = [numpy_helper.to_array(each) for each in model.graph.initializer if each.name.endswith("sc_w_0")]
    assert len(scales) == 69
    assert all(array.min() > 0.5 for array in scales)


def chain(tmp_path: Path) -> onnx.ModelProto:
    return onnx.load(MADE["pointwise-behind"](tmp_path))


def test_integers_are_few_and_small(tmp_path: Path) -> None:
    drawn = integers(chain(tmp_path))
    for tensor in drawn.graph.initializer:
        array = numpy_helper.to_array(tensor)
        assert array.dtype == np.float64
        assert set(np.unique(array)) <= {-1.0, 0.0, 1.0}


def test_what_was_zero_stays_zero() -> None:
    array = np.ones((4, 8))
    array[1], array[2, 2:] = 0, 0
    found = np.count_nonzero(few(array, np.random.default_rng(0)), axis=1)
    assert found.tolist() == [3, 0, 2, 3]
