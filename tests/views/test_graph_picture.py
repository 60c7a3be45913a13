"""Pictures of networks as text: what is in them, what is grouped, what is escaped."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise import api
from chipwise.core.errors import InputError
from chipwise.core.layer import Layer, totals
from chipwise.core.network import TensorSpec
from chipwise.core.report import Inspection
from chipwise.views.graph_blocks import MOST, all_boxes, facts, grouped, opened, visible
from chipwise.views.graph_picture import graph_html, graph_svg

from . import samples

SPACE = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return ["".join(each.itertext()) for each in ET.fromstring(svg).iter(f"{SPACE}text")]


def rows_of(*links: tuple[str, tuple[str, ...]]) -> tuple[Layer, ...]:
    return tuple(
        Layer(name, "Conv", ((1, 8, 4, 4),), ((1, 8, 4, 4),), 584, 18432, 2848, 512, after=after)
        for name, after in links
    )


def inspection(rows: tuple[Layer, ...]) -> Inspection:
    return Inspection("net", "net", 1, (samples.IMAGE,), (samples.SCORES,), rows, totals(rows))


def chain(names: list[str]) -> tuple[Layer, ...]:
    return rows_of(*((name, (names[place - 1],) if place else ()) for place, name in enumerate(names)))


def test_small_network() -> None:
    record = api.inspect("lenet5")
    said = texts(graph_svg(record))
    for row in record.layers:
        assert row.name in said
    assert {"Conv 5×5 + Tanh", "6×28×28", "156", "input", "scores", "29.1%", "62.0%"} <= set(said)


def test_shares_add_up() -> None:
    record = api.inspect("lenet5")
    boxes = [facts(box, record.totals.flops, record.totals.moved_bytes) for box in grouped(record.layers).boxes]
    assert sum(box.flops_share for box in boxes) == pytest.approx(1)
    assert sum(box.bytes_share for box in boxes) == pytest.approx(1)
    assert sum(box.parameters for box in boxes) == record.totals.parameters


def test_the_same_network_gives_the_same_bytes() -> None:
    record = samples.inspection()
    assert graph_svg(record) == graph_svg(record)
    assert graph_html(record) == graph_html(record)


def test_names_are_escaped() -> None:
    bad = '</title><script>alert(1)</script>&"\x1b[31m'
    rows = tuple(replace(row, name=f"{bad}{place}") for place, row in enumerate(samples.inspection().layers))
    record = replace(samples.inspection(), name=bad, layers=rows)
    svg, page = graph_svg(record), graph_html(record)
    ET.fromstring(svg)
    assert "<script>alert" not in svg + page
    assert "\x1b" not in svg + page


def test_an_empty_network_and_one_of_unknown_work() -> None:
    ET.fromstring(graph_svg(inspection(())))
    graph_html(inspection(()))
    assert "?" in texts(graph_svg(samples.unknown_inspection()))


def test_groups_follow_the_module_path() -> None:
    root = grouped(chain(["stem", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1", "layer1.1.conv2", "head"]))
    assert [box.title for box in root.boxes] == ["stem", "layer1", "head"]
    assert [box.title for box in root.boxes[1].boxes] == ["layer1.0", "layer1.1"]
    assert root.boxes[1].boxes[0].links == ((-1, 0), (0, 1), (1, 2))


def test_onnx_names_group_too() -> None:
    root = grouped(chain(["/layer1/layer1.0/conv1/Conv", "/layer1/layer1.0/conv2/Conv", "/fc/Gemm"]))
    assert [[row.name for row in box.rows] for box in root.boxes] == [
        ["/layer1/layer1.0/conv1/Conv", "/layer1/layer1.0/conv2/Conv"],
        ["/fc/Gemm"],
    ]


def test_outputs_hang_below_what_makes_them() -> None:
    """Told by their shapes, whatever their order."""
    small, large = rows_of(("small", ()), ("large", ()))
    large = replace(large, outputs=((1, 8, 9, 9),))
    specs = (TensorSpec("nine", ("batch", 8, 9, 9)), TensorSpec("four", ("batch", 8, 4, 4)))
    page = graph_html(replace(inspection((small, large)), outputs=specs))
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])["root"]
    links = {(start, end) for start, end, _ in data["edges"]}
    assert {(0, 4), (1, 3), (2, 0), (2, 1)} == links  # small, large, the input, nine, four


def test_a_group_that_reads_and_feeds_another_is_dissolved() -> None:
    rows = rows_of(("a.x", ()), ("b.x", ("a.x",)), ("a.y", ("b.x",)), ("b.y", ("a.y",)))
    root = grouped(rows)
    assert sorted(row.name for box in root.boxes for row in box.rows) == ["a.x", "a.y", "b.x", "b.y"]
    graph_svg(inspection(rows))


def test_long_runs_without_paths_are_grouped() -> None:
    rows = chain([f"conv{place}" for place in range(700)])
    root = grouped(rows)
    assert len(root.boxes) <= MOST
    assert [row.name for box in root.boxes for row in box.rows] == [row.name for row in rows]
    assert len(list(visible(root, opened(root)))) <= MOST


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_names_and_links(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.from_regex(r"[ab/.]{1,5}\d?", fullmatch=True), min_size=1, max_size=14, unique=True))
    links = [(name, tuple(data.draw(st.sets(st.sampled_from(names[:place]), max_size=3))) if place else ())
             for place, name in enumerate(names)]  # fmt: skip
    record = inspection(rows_of(*links))
    root = grouped(record.layers)
    assert sorted(row.name for row in root.rows) == sorted(names)
    ET.fromstring(graph_svg(record))


def test_the_page_has_every_box_once() -> None:
    record = inspection(chain([f"stage{place // 20}.{place % 20 // 2}.conv{place % 2}" for place in range(100)]))
    page = graph_html(record)
    found = re.findall(r'id="b(\d+)"', page)
    root = grouped(record.layers)
    assert len(found) == len(set(found)) == len(list(all_boxes(root))) + 2  # and an input and an output
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert data["open"]
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|(src|href)=\"(?!data:)", page)


def test_a_file_is_written(tmp_path: Path) -> None:
    record = api.inspect("lenet5", graph=tmp_path / "net.svg")
    assert record.graph == str(tmp_path / "net.svg")
    ET.parse(tmp_path / "net.svg")
    api.inspect("lenet5", graph=tmp_path / "net.html")
    assert (tmp_path / "net.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("name", ["net.png", "net", "absent/net.svg"])
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        api.inspect("lenet5", graph=tmp_path / name)


def test_long_titles_of_frames_are_cut() -> None:
    long = "a_long_name_of_a_group" * 20
    svg = graph_svg(inspection(chain([f"{long}{place // 4}.conv{place % 4}" for place in range(40)])))
    frames = [each for each in ET.fromstring(svg).iter(f"{SPACE}g") if each.get("class") == "frame"]
    assert frames
    for each in frames:
        title, said = (each.find(f"{SPACE}{tag}") for tag in ("title", "text"))
        assert title is not None
        assert said is not None
        assert long in (title.text or "")
        assert (said.text or "").endswith("…")
        assert len(said.text or "") < 60
