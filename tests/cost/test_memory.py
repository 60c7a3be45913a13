"""Memory: parts by hand, torch's own allocations on the CPU, and that precision and techniques do what they say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chipwise.core.device import Device
from chipwise.core.errors import InputError
from chipwise.core.estimate import Workload
from chipwise.core.layer import Layer
from chipwise.cost.liveness import input_bytes, most_alive
from chipwise.cost.memory import memory_interval, memory_of
from chipwise.cost.torch_memory import context_bytes, rounding_bytes, workspace_bytes
from chipwise.devices.known import device
from chipwise.networks.layers import layer_rows
from chipwise.networks.load import load

CPU = Device("example", "cpu")
CARD = device("A100")
ROWS = [
    Layer("c", "Conv", ((2, 3, 8, 8),), ((2, 16, 8, 8),), 432, write_bytes=8192, saved_bytes=1536, kernel=(3, 3)),
    Layer("n", "BatchNormalization", ((2, 16, 8, 8),), ((2, 16, 8, 8),), 32, 0, 0, 8192, 8192, after=("c",)),
    Layer("f", "Gemm", ((2, 1024),), ((2, 10),), 10250, write_bytes=80, saved_bytes=8192, after=("n",)),
]
VALUES = 432 + 32 + 10250


def test_inference_by_hand() -> None:
    use = memory_of(ROWS, CPU, Workload(batch=2))
    assert use.weights == 4 * (VALUES + 32)  # running mean and variance of 16 channels
    assert use.activations == 8192 + 8192 + 1536
    assert use.saved == use.gradients == use.optimizer == use.copies == use.context == use.rounding == 0
    assert use.device_bytes == use.allocated_bytes


def test_training_by_hand() -> None:
    use = memory_of(ROWS, CPU, Workload("training", 2))
    assert (use.gradients, use.optimizer, use.saved) == (4 * VALUES, 8 * VALUES, 1536 + 8192 + 8192)
    assert memory_of(ROWS, CPU, Workload("training", 2, techniques=("sgd",))).optimizer == 4 * VALUES
    assert memory_of(ROWS, CPU, Workload("training", 2, techniques=("plain-sgd",))).optimizer == 0


def test_precision_scales_all_and_mixed_precision_some() -> None:
    full, half = (memory_of(ROWS, CPU, Workload(batch=2, precision=name)) for name in ("fp32", "fp16"))
    assert (full.weights, full.activations) == (2 * half.weights, 2 * half.activations)
    cast = memory_of(ROWS, CPU, Workload(batch=2, precision="fp16", techniques=("amp",)))
    assert (cast.weights, cast.copies) == (full.weights, 2 * VALUES), "autocast keeps the weights as they are"
    assert half.activations < cast.activations < full.activations
    mixed = memory_of(ROWS, CPU, Workload("training", 2, "fp16", techniques=("amp",)))
    plain = memory_of(ROWS, CPU, Workload("training", 2))
    assert (mixed.weights, mixed.gradients, mixed.optimizer) == (plain.weights, plain.gradients, plain.optimizer)
    assert (mixed.saved, mixed.copies) == (plain.saved / 2, 2 * VALUES)
    with pytest.raises(InputError, match="unknown precision"):
        memory_of(ROWS, CPU, Workload(precision="fp3"))


def test_checkpointing_keeps_borders_and_one_segment() -> None:
    rows = [Layer(str(index), "Conv", ((1, 4),), ((1, 4),), write_bytes=16, saved_bytes=100) for index in range(16)]
    plain, kept = (memory_of(rows, CPU, Workload("training", techniques=each)) for each in ((), ("checkpointing",)))
    assert (plain.saved, kept.saved) == (1600, 4 * 100 + 4 * 100)


def test_interval_of_training_follows_the_step() -> None:
    workload = Workload("training", 2)
    use, interval = memory_of(ROWS, CPU, workload), memory_interval(ROWS, CPU, workload)
    assert interval.low is not None
    assert interval.mid is not None
    assert interval.low < interval.mid < (interval.high or 0) == use.device_bytes


def test_allocator_rounds_as_torch_does() -> None:
    """c10/cuda/CUDACachingAllocator.cpp: 1,000 bytes lie in a segment of 2 MiB, 3 MB in one of 20, 30 MB in 30 MiB."""
    mib = 2**20

    def held(values: int) -> int:
        rows = [Layer("f", "Gemm", ((1, 1),), ((1, 1),), values)]
        return rounding_bytes(rows, CARD, 4 * values, 1.0) + 4 * values

    assert held(250) == 2 * mib
    assert held(750_000) == 20 * mib
    assert held(7_500_000) == 30 * mib
    assert rounding_bytes(ROWS, CPU, 100, 1.0) == 0


def test_mixed_precision_rounds_weights_as_they_are_kept() -> None:
    """300,000 weights take 1.2 MB in 4 bytes, and so a segment of 20 MiB; their 2-byte copies lie with the rest."""
    rows = [Layer("f", "Gemm", ((1, 1),), ((1, 1),), 300_000)]
    for phase in ("inference", "training"):
        use = memory_of(rows, CARD, Workload(phase, precision="fp16", techniques=("amp",)))  # type: ignore[arg-type]
        tensors = use.allocated_bytes - use.workspace
        assert tensors + use.rounding == 2 * 20 * 2**20, phase


def test_context_is_that_of_the_cards_of_nvidia() -> None:
    assert context_bytes(CARD) == 300 * 10**6
    assert context_bytes(device("TPU v3")) == context_bytes(CPU) == 0
    for name in ("H100 SXM5 80GB", "H200", "B200", "RTX 5090", "RTX PRO 6000 Blackwell Max-Q"):
        assert workspace_bytes(ROWS, device(name), 1.0) == 32 * 2**20
    for name in ("A100", "RTX 4090", "L4", "RTX 6000 Ada", "Jetson Orin NX 16GB"):  # some are as young as the H100
        assert workspace_bytes(ROWS, device(name), 1.0) == 8320 * 1024
    assert context_bytes(CPU, "torch") == memory_of(ROWS, CPU, Workload(runtime="torch")).context > 100 * 10**6
    # 27 values a position of 64, a byte each: the columns of one picture.
    assert workspace_bytes(ROWS, device("Coral Edge TPU"), 0.25) == 27 * 64


def test_runtimes_have_their_own_rules() -> None:
    rows = layer_rows(load("resnet50"), 8)
    ort, openvino = (
        memory_of(rows, CPU, Workload(batch=8, compiled=True, runtime=name)) for name in ("onnxruntime", "openvino")
    )
    # Measured here (benchmarks/peak_memory.py): 449 and 464 MB.
    assert ort.device_bytes == pytest.approx(449e6, rel=0.10)
    assert openvino.device_bytes == pytest.approx(464e6, rel=0.10)
    assert memory_interval(rows, CPU, Workload(batch=8, runtime="onnxruntime")).covers(449e6)


def test_memory_grows_with_the_batch_for_every_network() -> None:
    for name in ("lenet5", "densenet121", "bert-base", "unet"):
        for phase in ("inference", "training"):
            one, eight = (
                memory_of(layer_rows(load(name), batch), CARD, Workload(phase, batch)).allocated_bytes  # type: ignore[arg-type]
                for batch in (1, 8)
            )
            assert one < eight <= 8 * one


def allocated(run: Callable[[], object]) -> int:
    """Most bytes that torch's CPU allocator held at once beyond what it held before."""
    profiler = pytest.importorskip("torch.profiler")
    with profiler.profile(activities=[profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda each: each.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


@pytest.mark.runtime
@pytest.mark.parametrize(
    ("name", "batch", "off"),
    # What Python's own variables hold beyond a tensor's last use (a stage's input until the stage returns) is not in
    # layer rows: MobileNet v2 takes a fifth more for it, and ResNet-20, whose first stage is all of one size, 67%.
    [("squeezenet1.1", 2, 0.01), ("resnet18", 2, 0.01), ("vgg11", 1, 0.01), ("mobilenet-v2", 2, 0.2)],
)
def test_activations_are_what_torch_allocates(name: str, batch: int, off: float) -> None:
    torch = pytest.importorskip("torch")
    module, examples = built(name, batch)
    with torch.no_grad():
        measured = allocated(lambda: module.eval()(*examples))
    assert most_alive(layer_rows(load(name), batch)) == pytest.approx(measured, rel=off)


@pytest.mark.runtime
@pytest.mark.parametrize(
    ("name", "batch"), [("resnet20", 8), ("squeezenet1.1", 2), ("lenet5-caffe", 64), ("resnet18", 2)]
)
def test_training_is_what_torch_allocates(name: str, batch: int) -> None:
    """Parts by saved-tensor hooks and the optimizer's own state, the peak of a step by torch's allocator."""
    torch = pytest.importorskip("torch")
    module, examples = built(name, batch)
    optimizer = torch.optim.AdamW(module.train().parameters(), fused=True)
    own = {value.untyped_storage().data_ptr() for value in (*module.parameters(), *module.buffers())}
    saved: dict[int, int] = {}

    def pack(tensor: object) -> object:
        storage = tensor.untyped_storage()  # type: ignore[attr-defined]
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    def step() -> None:
        module(*examples).float().pow(2).mean().backward()
        optimizer.step()

    result = None
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = module(*examples)
    seen = sum(saved.values())
    del result
    step()
    gradients = sum(value.grad.nbytes for value in module.parameters())
    state = sum(value.nbytes for each in optimizer.state.values() for value in each.values() if value.ndim)
    optimizer.zero_grad(set_to_none=True)
    peak = allocated(step)

    rows, workload = layer_rows(load(name), batch), Workload("training", batch)
    use, interval = memory_of(rows, CPU, workload), memory_interval(rows, CPU, workload)
    assert (use.gradients, use.optimizer) == (gradients, state)
    assert use.saved == pytest.approx(seen, rel=0.02)
    whole = use.weights + use.optimizer + peak + input_bytes(rows)
    assert interval.mid == pytest.approx(whole, rel=0.06)
    assert interval.covers(whole)


def built(name: str, batch: int) -> tuple[object, tuple[object, ...]]:
    source = pytest.importorskip("chipwise.networks.torch_source")
    network = load(name)
    return source.build_module(network.source), tuple(source.examples_for(network.inputs, batch))
