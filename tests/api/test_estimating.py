"""`chipwise.estimate`: devices by name and of one's own, batches and sweeps, knees, epochs, pictures, and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

import chipwise
from chipwise import api
from chipwise.codec.machine_file import encode_machine, read_machine, store_machine
from chipwise.core.device import Device, Link, Machine, Price, System
from chipwise.core.errors import InputError, UnknownNameError
from chipwise.core.estimate import Interval
from chipwise.core.measure import Timing
from chipwise.core.measured import KernelTime, LayerTimes, MeasuredMachine
from chipwise.devices.detect import detect
from chipwise.views.as_json import as_json

CHIP = Device(
    "Example Chip", "gpu", peak_flops={"fp32": 2e13, "fp16": 4e13}, bandwidth_bytes_s=5e11, memory_bytes=16 * 2**30,
    power_w=250.0,
)  # fmt: skip


def times(answer) -> list[float]:
    return [each.estimate.time_s.mid or each.estimate.time_s.low for each in answer.forecasts]


def test_batches_are_estimated_in_order_each_once() -> None:
    answer = chipwise.estimate("resnet18", on=CHIP, batch=(8, 1, 8))
    assert [each.estimate.workload.batch for each in answer.forecasts] == [1, 8]
    one, eight = times(answer)
    assert one < eight < 8.5 * one
    assert answer.parameters == 11_689_512
    assert answer.flops == pytest.approx(3.64e9, rel=0.01)
    assert answer.devices == ("Example Chip",)


def test_thousand_items_cost_a_thousand_over_the_batch_times_a_batch() -> None:
    only = chipwise.estimate("resnet18", on=CHIP, batch=8).forecasts[0]
    assert only.thousand.time_s == only.estimate.time_s.times(125.0)
    assert only.estimate.energy_j is not None
    assert only.thousand.energy_j == only.estimate.energy_j.times(125.0)


def test_a_sweep_has_a_knee_and_ends_with_the_memory() -> None:
    small = replace(CHIP, memory_bytes=2**30)
    answer = chipwise.estimate("vgg16", on=small, batch="sweep")
    sizes = [each.estimate.workload.batch for each in answer.forecasts]
    assert sizes == [2**power for power in range(len(sizes))]
    assert 1 < len(sizes) < 9
    assert any("the sweep on Example Chip ends where batch" in note for note in answer.notes)
    assert len(answer.knees) == 1
    knee = answer.knees[0]
    assert knee.batch <= knee.best_batch
    assert knee.items_s >= 0.9 * knee.best_items_s


def test_no_knee_of_one_batch() -> None:
    assert chipwise.estimate("lenet5", on=CHIP, batch=4).knees == ()
    assert chipwise.estimate("lenet5", on=CHIP, batch=(1, 64)).knees == ()  # either would be one by accident
    assert len(chipwise.estimate("lenet5", on=CHIP, batch=(1, 8, 64)).knees) == 1


def test_what_does_not_fit_is_said() -> None:
    only = chipwise.estimate("vgg16", on=replace(CHIP, memory_bytes=2**28)).forecasts[0]
    assert only.estimate.fits is False
    assert only.capacity_bytes == 2**28
    assert "! does not fit: batch 1 on Example Chip" in str(
        chipwise.estimate("vgg16", on=replace(CHIP, memory_bytes=2**28))
    )


def test_dollars_say_what_they_are_made_of() -> None:
    rent = Price("hour", 1.0, 2.0, "USD", "2026-09", "Example cloud, 2026-09")
    answer = chipwise.estimate("lenet5", on=(replace(CHIP, prices=(rent,)), replace(CHIP, name="Free Chip")))
    basis = "USD of Example Chip: rent of 1.00–2.00 USD an hour (Example cloud, 2026-09)"
    assert [note for note in answer.notes if "USD" in note] == [basis]
    assert basis in " ".join(str(answer).split())


def test_epochs_count_whole_steps() -> None:
    only = chipwise.estimate("lenet5", on=CHIP, batch=32, data_size=100, epochs=3).forecasts[0]
    assert only.epoch is not None
    assert only.training is not None
    assert only.epoch.time_s == only.estimate.time_s.times(4)
    assert only.training.time_s.low == pytest.approx(12 * only.estimate.time_s.low)
    assert chipwise.estimate("lenet5", on=CHIP, data_size=100).forecasts[0].training is None


def test_several_devices_each_once_in_the_order_given() -> None:
    other = replace(CHIP, name="Other Chip", bandwidth_bytes_s=1e12)
    answer = chipwise.estimate("lenet5", on=(other, CHIP, other), batch=(1, 2))
    assert answer.devices == ("Other Chip", "Example Chip")
    assert len(answer.forecasts) == 4


def test_a_system_is_one_of_its_devices_and_says_so() -> None:
    box = System("Example Box", CHIP, 8)
    answer = chipwise.estimate("lenet5", on=box, phase="training")
    assert answer.devices == ("Example Chip",)
    assert answer.notes[0] == (
        "Example Box is 8 x Example Chip: this is one of them; no link between them is known, to tell how they train "
        "together"
    )
    assert answer.forecasts[0].together is None
    rented = chipwise.estimate("lenet5", on="aws p3.2xlarge")
    assert rented.notes[0] == "AWS p3.2xlarge has one Tesla V100 SXM2 16GB"
    assert rented.forecasts[0].together is None
    with pytest.raises(InputError, match="Old Machine has no accelerators"):
        chipwise.estimate("lenet5", on=System("Old Machine", None))


def test_a_system_trains_in_copies_and_answers_side_by_side() -> None:
    box = System("Example Box", CHIP, 8, Link("wire", 1e11))
    answer = chipwise.estimate("resnet18", on=box, phase="training", batch=16, data_size=1000, epochs=3)
    (one,) = answer.forecasts
    assert one.together is not None
    assert (one.together.count, one.together.batch, one.together.link) == (8, 128, "wire")
    assert one.together.epoch_s == one.together.step_s.times(8)
    assert one.together.training_s == one.together.epoch_s.times(3)
    text = " ".join(str(answer).split())
    assert "all 8 of Example Box, batch 128:" in text
    assert "of 8 times one; copies, over wire" in text
    asked = chipwise.estimate("resnet18", on=box, batch=16).forecasts[0]
    assert asked.together.items_s.mid == pytest.approx(8 * asked.estimate.items_s.mid)


def test_two_systems_of_the_same_devices_are_not_passed_over_in_silence() -> None:
    boxes = (System("Box", CHIP, 2, Link("wire", 1e11)), System("Larger Box", CHIP, 4, Link("wire", 1e11)))
    answer = chipwise.estimate("lenet5", on=boxes)
    assert "Larger Box has the devices of Box, which stands for it: ask for it by itself" in answer.notes


def test_a_board_of_two_chips_is_one_of_them_and_says_so() -> None:
    board = replace(CHIP, chips=2)
    answer, half = chipwise.estimate("vgg16", on=board), chipwise.estimate("vgg16", on=board.one_chip())
    assert answer.devices == ("Example Chip, one chip",)
    assert answer.notes == ("Example Chip is a board of 2 chips: this is one of them, which is what a program sees",)
    assert times(answer) == times(half) > times(chipwise.estimate("vgg16", on=CHIP))
    assert answer.forecasts[0].capacity_bytes == 8 * 2**30
    assert board.one_chip().peak_flops == {"fp32": 1e13, "fp16": 2e13}
    assert (board.one_chip().bandwidth_bytes_s, board.one_chip().power_w) == (2.5e11, 125.0)
    assert CHIP.one_chip() is CHIP


def test_a_device_without_float32_is_estimated_for_what_it_has() -> None:
    narrow = replace(CHIP, peak_flops={"int8": 4e12})
    answer = chipwise.estimate("lenet5", on=narrow)
    assert answer.forecasts[0].estimate.workload.precision == "int8"
    assert answer.notes[0] == "Example Chip has no stated peak for fp32: int8 is what it is estimated for"
    asked = chipwise.estimate("lenet5", on=narrow, precision="int8").notes
    assert not any("no stated peak" in note for note in asked)


@pytest.mark.parametrize("options", [{}, {"precision": "amp"}, {"phase": "training"}])
def test_a_device_that_nothing_is_known_of_leads_on(options: dict) -> None:
    """A list of its formats would be empty."""
    for facts, missing in (({"peak_flops": {}}, "peak"), ({"bandwidth_bytes_s": None}, "memory bandwidth")):
        with pytest.raises(InputError, match=f"no {missing} of Example Chip is known") as raised:
            chipwise.estimate("lenet5", on=replace(CHIP, kind="cpu", **facts), **options)
        assert "--catalogue FILE" in raised.value.hint
        assert "doctor --measure" in raised.value.hint


def test_a_measurement_that_ended_too_soon_is_to_be_repeated() -> None:
    with pytest.raises(InputError) as raised:
        chipwise.estimate("lenet5", on=replace(CHIP, kind="cpu", peak_flops={}, source="measured here"))
    assert "longer --budget" in raised.value.hint


def test_amp_is_the_half_format_of_the_device() -> None:
    workload = chipwise.estimate("lenet5", on=CHIP, precision="amp").forecasts[0].estimate.workload
    assert (workload.precision, workload.techniques) == ("fp16", ("amp",))


def test_techniques_are_passed_on() -> None:
    options = {"on": CHIP, "phase": "training", "batch": 8}
    adam, plain = (
        chipwise.estimate("resnet18", techniques=[name], **options).forecasts[0].estimate
        for name in ("adam", "plain-sgd")
    )
    assert adam.workload.techniques == ("adam",)
    assert adam.memory.optimizer > plain.memory.optimizer == 0
    assert adam.memory.gradients > 0


def test_runtimes_that_fuse_are_compiled() -> None:
    of = chipwise.estimate("lenet5", on=CHIP, runtime="onnxruntime").forecasts[0].estimate.workload
    assert of.compiled
    assert not chipwise.estimate("lenet5", on=CHIP).forecasts[0].estimate.workload.compiled


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch": 0}, "batch is 0; at least 1 is wanted"),
        ({"batch": -3}, "batch is -3; at least 1 is wanted"),
        ({"batch": ()}, "no batch was given"),
        ({"batch": "all"}, "cannot read 'all' as batches"),
        ({"phase": "trian"}, "unknown phase 'trian'"),
        ({"precision": "fp17"}, "unknown precision 'fp17'"),
        ({"techniques": ["channels_lost"]}, "unknown technique 'channels_lost'"),
        ({"techniques": ["checkpointing"]}, "checkpointing is a matter of training"),
        ({"techniques": ["adam", "sgd"], "phase": "training"}, "adam and sgd are several optimizers"),
        ({"precision": "int4", "phase": "training"}, "nothing is trained in int4"),
        ({"data_size": 0}, "the data has 0 items"),
        ({"epochs": 2}, "2 epochs of data of unknown size"),
        ({"epochs": 0}, "0 epochs"),
        ({"roofline": "x.pdf"}, "a roofline cannot be drawn into 'x.pdf'"),
        ({"roofline": "nowhere/x.svg"}, "no such folder: nowhere"),
        ({"roofline": "x.svg", "batch": (1, 2)}, "a roofline shows one batch on one device; 2 were asked for"),
        ({"measure": True}, "what is measured runs on this machine"),
        ({"on": 5}, "a int is no device"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    options: dict, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as raised:
        chipwise.estimate("lenet5", **{"on": CHIP} | options)
    assert says in raised.value.message
    assert not list(tmp_path.iterdir())


def test_unknown_devices_offer_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as raised:
        chipwise.estimate("lenet5", on="rtx4091")
    assert raised.value.message == "unknown device 'rtx4091'"
    assert "GeForce RTX 4090" in raised.value.hint
    assert len(raised.value.hint) < 200


def test_a_damaged_catalogue_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[device]]\nname = "Broken\n')
    with pytest.raises(InputError, match=r"mine\.toml"):
        chipwise.estimate("lenet5", on="rtx4090", catalogue=path)


@pytest.mark.parametrize("on", [None, "here", CHIP, "rtx4090"])
def test_a_catalogue_is_read_even_where_no_device_is_looked_up_in_it(on: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        chipwise.estimate("lenet5", on=on, catalogue=tmp_path / "nowhere.toml")


def test_a_profile_and_a_catalogue_do_not_go_together(tmp_path: Path) -> None:
    path = a_profile(tmp_path, Machine("Far Away CPU", "x86_64", (), 4, 8))
    with pytest.raises(InputError, match="a profile names its own machine"):
        chipwise.estimate("lenet5", profile=path, catalogue=tmp_path / "nowhere.toml")


def test_names_for_completion() -> None:
    names = api.device_names()
    assert {"here", "rtx4090", "a100"} <= set(names)
    assert len(names) == len(set(names))
    assert "amp" in api.PRECISIONS


def unknown_operator(folder: Path) -> Path:
    text = """<ir_version: 8, opset_import: ["": 17, "mine": 1]>
    g (float[N, 3, 32, 32] x, float[8, 3, 3, 3] w) => (float[N, 8, 30, 30] z) {
      y = Conv(x, w)
      z = mine.Mystery(y)
    }"""
    model = onnx.parser.parse_model(text)
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("y", 1, ["N", 8, 30, 30]))
    path = folder / "mystery.onnx"
    onnx.save(model, path)
    return path


def test_unknown_operators_are_listed_and_flagged(tmp_path: Path) -> None:
    answer = chipwise.estimate(unknown_operator(tmp_path), on=CHIP)
    assert answer.forecasts[0].estimate.unknown_ops == ("mine::Mystery",)
    says = " ".join(str(answer).split())
    assert "not known for mine::Mystery" in says or "mine::Mystery is not known" in says
    known = chipwise.estimate(unknown_operator(tmp_path), on=replace(CHIP, kind="fpga"))  # no profile: the floor
    assert known.forecasts[0].estimate.time_s.mid is None
    assert known.forecasts[0].estimate.unknown_ops == ("mine::Mystery",)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".html"])
def test_a_roofline_is_written(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"roof{suffix}"
    answer = chipwise.estimate("lenet5", on=CHIP, roofline=path)
    assert answer.picture == str(path)
    assert path.stat().st_size > 1000


def test_answers_are_json_with_a_schema() -> None:
    document = json.loads(as_json(chipwise.estimate("lenet5", on=CHIP, layers=True)))
    assert document["schema"] == "chipwise.estimate/1"
    assert document["forecasts"][0]["estimate"]["rows"]


def test_a_prediction_is_scored_by_what_was_measured() -> None:
    from chipwise.api.scoring import scored

    timing = Timing(3, (0.9, 1.0, 1.2))
    inside = scored(Interval(0.8, 1.1, 1.5, 0.8), timing, "onnxruntime", "fp32", 2)
    assert (inside.inside, inside.error) == (True, pytest.approx(0.1))
    assert scored(Interval(1.1, 1.3, 1.5), timing, "onnxruntime", "fp32", 2).inside is False
    floor = scored(Interval(0.5, None, None), timing, "onnxruntime", "fp32", 2)
    assert (floor.inside, floor.error) == (True, None)


@pytest.mark.runtime
def test_measuring_runs_the_network_here(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 17]>
    g (float[N, 64] x) => (float[N, 64] y) { y = Relu(x) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "relu.onnx")
    answer = chipwise.estimate(tmp_path / "relu.onnx", measure=True, budget_s=0.2, batch=(1, 4))
    for forecast in answer.forecasts:
        assert forecast.score is not None
        assert forecast.score.timing is not None
        assert forecast.score.timing.median_s > 0
        assert (forecast.score.runtime, forecast.score.precision) == ("onnxruntime", "fp32")
    assert "put to the test" in str(answer)
    for options, says in (
        ({"phase": "training"}, "training steps are not measured"),
        ({"runtime": "torch"}, "'torch'"),
    ):
        with pytest.raises(InputError, match=says):
            chipwise.estimate(tmp_path / "relu.onnx", measure=True, **options)


@pytest.mark.runtime
def test_a_fixed_batch_is_what_is_estimated(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 17]>
    g (float[4, 64] x) => (float[4, 64] y) { y = Relu(x) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "relu.onnx")
    answer = chipwise.estimate(tmp_path / "relu.onnx", on=CHIP)
    assert answer.forecasts[0].estimate.workload.batch == 4
    assert answer.notes == ("the network has a fixed batch of 4",)
    assert answer.flops == 64
    assert len(chipwise.estimate(tmp_path / "relu.onnx", on=CHIP, batch="sweep").forecasts) == 1


KERNEL = KernelTime("conv", 1e9, 1e6, (3136.0, 64.0, 64.0, 9.0, 1.0), 4e-3)
LAYERS = LayerTimes("onnxruntime", "fp32", 0, (KERNEL,), 1e11, 1e9, 1e-6, {"conv": 0.0})


def a_profile(folder: Path, machine: Machine) -> Path:
    device = Device(machine.cpu, "cpu", peak_flops={"fp32": 1e11}, bandwidth_bytes_s=1e10, source="measured here")
    found = MeasuredMachine(machine, device, "2026-01-15", {}, layers=(LAYERS,))
    path = folder / "machine.json"
    path.write_bytes(encode_machine(found))
    return path


def test_a_profile_of_another_machine_is_estimated_for_and_said(tmp_path: Path) -> None:
    path = a_profile(tmp_path, Machine("Far Away CPU", "x86_64", (), 4, 8))
    answer = chipwise.estimate("lenet5", profile=path)
    assert answer.devices == ("Far Away CPU",)
    assert answer.notes == ("as measured on another machine, Far Away CPU (4 cores), on 2026-01-15",)
    assert answer.forecasts[0].estimate.time_s.mid is not None
    for where in ("here", "rtx4090", CHIP):
        with pytest.raises(InputError, match="was measured on Far Away CPU"):
            chipwise.estimate("lenet5", on=where, profile=path)
    with pytest.raises(InputError, match="what is measured runs on this machine"):
        chipwise.estimate("lenet5", profile=path, measure=True)


def test_this_machine_is_estimated_by_what_was_measured_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPWISE_CACHE", str(tmp_path))
    before = chipwise.estimate("lenet5")
    assert before.forecasts[0].estimate.time_s.mid is None
    assert "run chipwise doctor --measure first" in before.notes[0]
    profile = a_profile(tmp_path, detect())
    store_machine(read_machine(profile))
    for options in ({}, {"on": "here"}, {"profile": profile}, {"on": "Here", "profile": profile}):
        after = chipwise.estimate("lenet5", **options)
        assert after.notes == ()
        assert after.forecasts[0].estimate.time_s.mid is not None
        assert "measured on this machine with onnxruntime fp32 on 2026-01-15" in after.forecasts[0].estimate.method
    other = chipwise.estimate("lenet5", runtime="openvino")
    assert any("openvino fp32 was not measured" in note for note in other.forecasts[0].estimate.notes)


def test_a_damaged_profile_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"machine": 1}')
    with pytest.raises(InputError, match=r"profile .*bad\.json cannot be read"):
        chipwise.estimate("lenet5", profile=tmp_path / "bad.json")


def test_a_short_name_says_which_of_several_it_was_taken_for() -> None:
    (said,) = [note for note in chipwise.estimate("lenet5", on="a100").notes if "taken for" in note]
    assert said.startswith("a100 is taken for A100 SXM4 80GB; there is A100")
    assert "A100 PCIe 40GB" in said
    for name in ("A100 SXM4 80GB", "rtx3090", "tpu-v4"):
        assert not any("taken for" in note for note in chipwise.estimate("lenet5", on=name, precision="bf16").notes)


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_formats_that_no_framework_runs_layer_by_layer_on_a_gpu_say_so(precision: str) -> None:
    chip = replace(CHIP, peak_flops={precision: 8e13, "fp16": 4e13})
    (said,) = chipwise.estimate("lenet5", on=chip, precision=precision).notes
    assert f"PyTorch runs no network layer by layer in {precision} on Example Chip" in said
    assert "TensorRT" in said
    assert chipwise.estimate("lenet5", on=chip, precision=precision, compiled=True).notes == ()
    assert chipwise.estimate("lenet5", on=chip, precision="fp16").notes == ()


def test_a_floor_here_is_not_what_is_left_of_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick look while others compute finds little; the instruction sets say what there is."""
    from chipwise.api import targets

    busy = Device("Example CPU @ 2.00GHz", "cpu", peak_flops={"fp32": 1e9}, bandwidth_bytes_s=1e10)
    monkeypatch.setattr("chipwise.devices.ceiling.clock_hz", lambda _: None)
    monkeypatch.setattr("chipwise.devices.ceiling.threads_per_core", lambda _: None)
    vectors = Machine("Example CPU @ 2.00GHz", "x86_64", ("avx2", "fma"), 2, 2)
    ceiling, said = targets._ceiling(busy, vectors)
    assert ceiling.peak_flops["fp32"] == pytest.approx(2 * 32 * 2e9)
    assert "arithmetic at 2 cores x two multiply-add units" in said
    quick, said = targets._ceiling(busy, replace(vectors, isa=()))
    assert quick.peak_flops == busy.peak_flops
    assert "arithmetic and memory as in a quick look, which is less than there is while others use the machine" in said
