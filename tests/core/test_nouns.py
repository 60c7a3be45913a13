"""The nouns that compute something: shapes, quantiles, verdicts, units, and the nearest name."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.core.device import Device, Machine
from chipwise.core.errors import ChipwiseError, InputError, MissingExtraError, StorageError, unknown_name
from chipwise.core.estimate import Interval
from chipwise.core.events import Part
from chipwise.core.layer import Layer, totals
from chipwise.core.measure import Ratio, Timing
from chipwise.core.network import TensorSpec
from chipwise.core.plan import Choice
from chipwise.core.units import parse_duration_s, parse_share


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.5 %", 0.005), ("0.02", 0.02), ("0", 0), ("100%", 1)])
def test_shares(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "one", "150%", "1", "1.5", "-1%", "1s", "nan", "1e400"])
def test_no_shares(text: str) -> None:
    with pytest.raises(InputError, match="share"):
        parse_share(text)


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("2min", 120), ("1.5h", 5400), ("500ms", 0.5), ("7", 7)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "3 weeks", "-1s", "1%"])
def test_no_durations(text: str) -> None:
    with pytest.raises(InputError, match="duration"):
        parse_duration_s(text)


@given(st.lists(st.floats(0, 1), min_size=21, max_size=21).map(sorted), st.floats(0, 1))
def test_quantiles_lie_between_the_ends_and_rise(quantiles: list[float], fraction: float) -> None:
    timing = Timing(21, tuple(quantiles))
    assert quantiles[0] <= timing.quantile_s(fraction) <= quantiles[-1]
    assert timing.quantile_s(0.25) <= timing.median_s <= timing.quantile_s(0.75)


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(1.1, 1.3, "faster"), (0.7, 0.9, "slower"), (0.9, 1.1, "same"), (1.0, 1.2, "same")]
)
def test_nothing_is_concluded_when_one_lies_inside(low: float, high: float, verdict: str) -> None:
    assert Ratio((low + high) / 2, low, high, 20).verdict == verdict


def test_unknown_bounds_exclude_nothing() -> None:
    assert Interval(1, None, None).covers(1e9)
    assert not Interval(1, None, None).covers(0.5)
    assert Device("d", "cpu", {"fp32": 1e12}).ridge("fp32") is None


def test_shapes_become_concrete() -> None:
    spec = TensorSpec("x", ("batch", 3, "height", 8))
    assert spec.dynamic_batch
    assert spec.concrete(4) == (4, 3, 1, 8)
    assert not TensorSpec("x", (1, 3)).dynamic_batch


def test_totals_name_what_is_not_known() -> None:
    rows = [Layer("a", "Conv", (), (), 10, 100, 40, 8), Layer("b", "Odd", (), (), 1, 0, 4, 4, known=False)]
    summed = totals(rows)
    assert (summed.parameters, summed.flops, summed.moved_bytes, summed.unknown_ops) == (11, 100, 56, ("Odd",))


def test_machines_are_alike_by_processor_and_cores() -> None:
    one = Machine("cpu", "x86_64", ("avx2",), 2, 4, memory_bytes=1)
    assert one.fingerprint == Machine("cpu", "x86_64", ("avx2",), 2, 8, memory_bytes=2).fingerprint
    assert one.fingerprint != Machine("cpu", "x86_64", ("avx2",), 4, 4).fingerprint


def test_choices_have_titles_that_tell_them_apart() -> None:
    choices = [
        Choice("onnxruntime", threads=0),
        Choice("onnxruntime", threads=0, source=True),
        Choice("onnxruntime"),
        Choice("onnxruntime", batch=8),
        Choice("onnxruntime", "int8", quantizer="nncf"),
        Choice("onnxruntime", "int8", quantizer="onnxruntime"),
    ]
    assert len({choice.title for choice in choices}) == len(choices)


def test_errors_are_one_tree_with_exit_codes() -> None:
    assert issubclass(StorageError, ChipwiseError)
    assert (InputError("x").exit_code, StorageError("x").exit_code) == (2, 3)
    assert MissingExtraError("torch", "torch").hint == "pip install 'chipwise[torch]'"
    assert unknown_name("network", "zzz", ["lenet5"]).hint == "known: lenet5"
    assert unknown_name("layer", "mixed_5", ["stem", "Mixed_5b"]).hint == "did you mean Mixed_5b? Known: Mixed_5b, stem"


def test_a_part_fills_its_stretch_of_the_bar() -> None:
    seen: list[tuple[str, float, str]] = []

    class Whole:
        def update(self, stage: str, fraction: float, message: str = "") -> None:
            seen.append((stage, fraction, message))

        def note(self, message: str) -> None:
            seen.append(("note", 0, message))

    part = Part(Whole(), "compile", 0.5, 0.7)
    part.update("measuring", 0.0)
    part.update("measuring", 1.0, "done")
    part.note("hello")
    assert seen == [("compile", 0.5, "measuring"), ("compile", pytest.approx(0.7), "done"), ("note", 0, "hello")]


def test_of_many_names_only_the_nearest_are_offered() -> None:
    many = [f"resnet{depth}" for depth in range(10, 60)]
    assert unknown_name("network", "resnett50", many).hint.startswith("did you mean resnet50")
    assert len(unknown_name("network", "resnett50", many).hint) < 60


def test_tracebacks_have_the_hint_and_the_text_has_the_message_alone() -> None:
    error = InputError("it is wrong", hint="mend it")
    assert str(error) == "it is wrong"
    assert "".join(traceback.format_exception(error)).splitlines()[-1] == "hint: mend it"
    assert not hasattr(InputError("it is wrong"), "__notes__")
