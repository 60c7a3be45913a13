"""The text of a cfg: what is read, and what is refused in which line."""

from __future__ import annotations

from pathlib import Path

import pytest
from files import picture

from chipwise.core.errors import NetworkError
from chipwise.networks.darknet.cfg import LIMIT_BYTES, parse
from chipwise.networks.darknet_file import load
from chipwise.networks.load import load as load_any

MESSY = """# a comment
; another
[network]
 width = 3 2
height=32 # pixels
channels=3;
height=64

[convolutional]
# inside
filters = 4\t
  [ convolutional ]
anchors = 1,2,  3.5,.5,1e2
"""


def test_white_space_comments_and_repeated_keys() -> None:
    cfg = parse(MESSY.replace("\n", "\r\n"))
    assert [section.type for section in cfg.layers] == ["convolutional", "convolutional"]
    assert [section.line for section in cfg.layers] == [9, 12]
    assert [cfg.options.integer(key) for key in ("width", "height", "channels")] == [32, 32, 3]
    assert cfg.layers[0].integer("filters") == 4
    assert cfg.layers[1].numbers("anchors") == (1, 2, 3.5, 0.5, 100)


def test_numbers_that_are_not_there_have_defaults() -> None:
    section = parse("[net]\n[a]\n").layers[0]
    assert (section.integer("n", 7), section.number("x", 0.5), section.text("t", "none")) == (7, 0.5, "none")
    assert (section.numbers("x"), section.integers("x"), section.flag("f")) == ((), (), False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no section"),
        ("# nothing\n", "has no section"),
        ("[net]\n", "no layers"),
        ("width=3\n[net]\n", "line 1: width=3 stands before"),
        ("[maxpool]\n[net]\n", "begins with [maxpool]"),
        ("[net]\n[maxpool\n", "line 2: [maxpool is no section"),
        ("[net]\n[]\n", "line 2: [] is no section"),
        ("[net]\nwidth\n", "line 2: width is no option"),
        ("[net]\n=3\n", "line 2: =3 is no option"),
        ("[net]\n" * 5000, "more than 4096 sections"),
        ("[net]\n[a\x1b[31m" + "b" * 99 + "\n", "line 2: [a?[31mbbb"),
    ],
)
def test_what_is_no_cfg(text: str, problem: str) -> None:
    with pytest.raises(NetworkError) as caught:
        parse(text)
    assert problem in caught.value.message
    assert len(caught.value.message) < 160
    assert caught.value.hint


@pytest.mark.parametrize(
    "given", ["", "x", "1.5", "1e3", "--1", "0x10", "9999999999999999999", "1000001", "-1", "1 2 3 4 5 6 7", "٣", "1_0"]
)
def test_what_is_no_whole_number(given: str) -> None:
    section = parse(f"[net]\n[a]\nn={given}").layers[0]
    with pytest.raises(NetworkError, match=r"line 3: \[a\] n=.* cannot be used") as caught:
        section.integer("n", 0, least=0)
    assert caught.value.hint == "give a whole number from 0 to 1000000"


@pytest.mark.parametrize("given", ["", ",", "nan", "inf", "1e999", "1,x", "1,,inf", "1." + "0" * 40, "1," * 5000])
def test_what_is_no_list_of_numbers(given: str) -> None:
    section = parse(f"[net]\n[a]\nn={given}").layers[0]
    with pytest.raises(NetworkError, match="line 3"):
        section.numbers("n")


def test_lists_of_whole_numbers() -> None:
    section = parse("[net]\n[a]\nn=-1,+2,3.0\nm=1.5").layers[0]
    assert section.integers("n") == (-1, 2, 3)
    with pytest.raises(NetworkError, match=r"m=1\.5"):
        section.integers("m")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x89PNG\0\0", "is no text"),
        (b"#" * (LIMIT_BYTES + 1), "it has more than 1,000,000 bytes"),
        (b"[net]\nwidth=8\nheight=8\n[maxpool]", "section [net] (line 1) says neither inputs nor a picture"),
        (b"[net]\nwidth=99999\nheight=8\nchannels=3\n[maxpool]", "line 2: [net] width=99999 cannot be used"),
        (b"[net]\n\xff\xfe=3\n[maxpool]", "says neither inputs"),
    ],
)
def test_what_is_no_network(data: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "net.cfg"
    path.write_bytes(data)
    with pytest.raises(NetworkError) as caught:
        load(path, None)
    assert problem in caught.value.message


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="cannot read"):
        load(tmp_path, None)


def test_found_by_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "tiny.cfg"
    path.write_text(picture("[convolutional]\nfilters=2\n[avgpool]"))
    network = load_any(str(path))
    assert (network.name, network.origin) == ("tiny", str(path))
    assert network.inputs[0].shape == ("batch", 3, 8, 8)
    assert network.outputs[0].shape == ("batch", 2)
