"""Notebook output: the table, escaped, of bounded length."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chipwise.views.notebook import repr_html

from . import samples


@pytest.mark.parametrize("name", samples.RECORDS)
def test_every_record_has_html(name: str) -> None:
    made = repr_html(samples.RECORDS[name]())
    assert made.startswith('<div class="chipwise"')
    assert made.endswith("</pre></div>")


def test_values_are_there_and_names_are_escaped() -> None:
    row = replace(samples.bench().rows[1], name="<script>")
    made = repr_html(replace(samples.bench(), rows=(samples.bench().rows[0], row)))
    assert "24.6 µs" in made
    assert "<b>plan</b>" in made.replace("<b>plan ", "<b>plan</b>")
    assert "&lt;script&gt;" in made
    assert "<script" not in made


def test_long_networks_are_cut_and_say_so() -> None:
    layers = samples.inspection().layers * 100
    made = repr_html(replace(samples.inspection(), layers=layers))
    assert len(made.splitlines()) == 201
    assert "more layers and lines" in made
