"""The page is complete, escaped, self-contained, the same every time, and leaves no gap for what is absent."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from html.parser import HTMLParser

import pytest

from chipwise.core.measure import Ratio
from chipwise.core.report import Report
from chipwise.views import claims
from chipwise.views.report import report_html

from . import samples

HOSTILE = "<script>alert(1)</script>\"'&$x_{\x00\x1b"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Balance(HTMLParser):
    """Collects tags and complains about those that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.ids += [value or "" for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    return report_html(samples.report())


def read(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    assert not parser.open
    return parser


def test_every_section_is_there_with_its_numbers(page: str) -> None:
    for name in ("latency", "accuracy", "candidates", "training", "network", "machine", "method"):
        assert f'<section id="{name}">' in page
        assert f'href="#{name}"' in page
    for number in ("2.08×", "same within noise", "97.78%", "98.06% [96.0–99.1%]", "24.6 µs", "60,840", "1.19%"):
        assert number in page
    for row in samples.candidates():
        assert row.choice.title in page


def test_html_is_well_formed_with_unique_ids(page: str) -> None:
    parser = read(page)
    assert len(parser.ids) == len(set(parser.ids))
    assert parser.seen.count("h1") == 1
    assert parser.seen.count("table") == parser.seen.count("caption") == 3


def test_nothing_is_fetched_and_nothing_runs(page: str) -> None:
    links = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', page)
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "default-src 'none'" in page
    assert not {"script", "iframe", "object"} & set(read(page).seen)
    assert "@import" not in page
    assert all(address.startswith("http://www.w3.org/") for address in re.findall(r"https?://[^\"'\s<]*", page))


def test_the_same_record_gives_the_same_bytes(page: str) -> None:
    assert report_html(samples.report()) == page


def test_pictures_are_inside_with_alternative_text(page: str) -> None:
    assert page.count("data:image/png;base64,") == 8
    assert 'alt="Sample 17: true 8, predicted 1"' in page


def test_fewer_pictures_than_mistakes_leave_a_mark() -> None:
    made = report_html(replace(samples.report(), pictures=samples.report().pictures[:3]))
    assert made.count("data:image/png;base64,") == 3
    assert made.count("no picture") == 5
    assert "no picture" not in report_html(replace(samples.report(), pictures=()))


@pytest.mark.parametrize("part", ["inspection", "training", "plan", "check", "bench"])
def test_absent_parts_leave_no_gap(part: str) -> None:
    made = report_html(replace(samples.report(), **{part: None}))
    section = {"inspection": "network", "plan": "candidates", "check": "accuracy", "bench": "latency"}.get(part, part)
    assert f'id="{section}"' not in made
    assert f'href="#{section}"' not in made
    read(made)


def test_a_report_of_nothing_but_the_machine() -> None:
    made = report_html(Report("Only a machine", samples.doctor()))
    assert made.count("<section") == 1
    assert "claim" not in made.split("</style>")[1]


def test_hostile_names_stay_text() -> None:
    report = samples.report()
    layers = tuple(replace(row, name=HOSTILE + row.name, op=HOSTILE) for row in report.inspection.layers)
    names = tuple(HOSTILE + name for name in samples.NAMES)
    mistake = replace(report.check.mistakes[0], truth=HOSTILE, predicted=HOSTILE)
    rows = tuple(replace(row, name=HOSTILE + row.name, note=HOSTILE) for row in report.bench.rows)
    tried = tuple(
        replace(row, reason=HOSTILE, choice=replace(row.choice, runtime=HOSTILE)) for row in report.plan.candidates
    )
    made = report_html(
        replace(
            report,
            title=HOSTILE,
            created=HOSTILE,
            inspection=replace(report.inspection, layers=layers, name=HOSTILE),
            check=replace(report.check, class_names=names, mistakes=(mistake,), reason=HOSTILE, data=HOSTILE),
            bench=replace(report.bench, rows=rows, network=HOSTILE, reason=HOSTILE),
            plan=replace(report.plan, candidates=tried, why=HOSTILE, passes=(HOSTILE,)),
            training=replace(report.training, settings={HOSTILE: HOSTILE}, network=HOSTILE),
            doctor=replace(report.doctor, notes=(HOSTILE,), versions={HOSTILE: HOSTILE}),
        )
    )
    assert "<script" not in made
    assert "\x00" not in made
    assert "\x1b" not in made
    assert "script" not in read(made).seen


def test_unknown_work_is_said() -> None:
    made = report_html(replace(samples.report(), inspection=samples.unknown_inspection()))
    assert "at least what is shown" in made
    assert "≥ 104 MFLOP" in made


def test_another_machine_is_said() -> None:
    bench = replace(samples.bench(), machine=replace(samples.MACHINE, cpu="Example Arm"))
    made = report_html(replace(samples.report(), bench=bench))
    assert "The latencies were measured on another machine: Example Arm" in made


def test_many_layers_and_classes_still_make_a_page() -> None:
    row = samples.inspection().layers[0]
    inspection = replace(samples.inspection(), layers=tuple(replace(row, name=f"layer{index}") for index in range(200)))
    table = tuple(tuple(5 if row == column else int(column == 0) for column in range(100)) for row in range(100))
    check = replace(samples.check(), confusion=table, class_names=tuple(f"class {index}" for index in range(100)))
    made = report_html(replace(samples.report(), inspection=inspection, check=check))
    assert "All 200 layers" in made
    assert "Most frequent confusions" in made
    read(made)


def test_the_headline_claims_nothing_inside_the_noise() -> None:
    assert claims.headline(samples.bench(), samples.manifest()) == (
        "lenet5 runs 2.08× as fast as ONNX Runtime's default, and as fast, within the noise, as the fastest of 3 "
        "rivals, openvino default."
    )
    plan = replace(samples.manifest(), speedup=Ratio(1.04, 0.98, 1.1, 40))
    assert claims.headline(None, plan) == "lenet5 runs as fast, within the noise, as ONNX Runtime's default."
    assert not claims.headline(None, None)
    assert not claims.headline(None, replace(plan, speedup=None))


def test_one_comparison_with_one_runtime() -> None:
    bench = replace(samples.bench(), rows=samples.bench().rows[:2])
    assert claims.headline(bench, samples.manifest()) == "lenet5 runs 2.08× as fast as onnxruntime default."


def test_every_field_of_the_report_is_drawn() -> None:
    drawn = {"title", "doctor", "inspection", "training", "plan", "check", "bench", "pictures", "outlook", "created"}
    assert {field.name for field in fields(Report)} - {"schema"} == drawn
