"""What `benchmarks/gpu_training.py` makes of its rows, and what it does without a graphics processor."""

from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch")

import gpu_training  # noqa: E402

pytestmark = pytest.mark.runtime


def test_where_the_lines_cross_is_between_the_sizes_around() -> None:
    assert gpu_training.crossover([(10, 0.5), (1000, 2.0)]) == pytest.approx(100)
    assert gpu_training.crossover([(10, 0.5), (100, 1.0), (1000, 2.0)]) == pytest.approx(100)
    for faster_throughout in ([(10, 1.5), (1000, 2.0)], [(10, 0.2), (1000, 0.9)]):
        assert gpu_training.crossover(faster_throughout) is None


def test_without_a_graphics_processor_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu_training.py"])
    assert gpu_training.main() == 3
    assert "device=cuda is not here" in capsys.readouterr().err
