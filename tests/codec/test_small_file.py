"""The compressed file: the same bits come back, damage is refused, sizes are what they are said to be."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chipwise.codec import block_coder, queue_coder, small_file
from chipwise.codec.small_file import (
    SmallFile,
    SmallReader,
    encode_small,
    ledger,
    open_small,
    stream_small,
    write_small,
)
from chipwise.codec.small_stream import Budget, Stream
from chipwise.codec.small_tensor import SmallTensor, from_symbols, from_values
from chipwise.core.errors import InputError, MissingExtraError, NetworkError

# A file of version 1, with every kind of tensor that the reference coder has. It must decode like this for ever.
GOLDEN = (
    "43575a0180c6d8a5626e3349ad61eee9000f2e93e977070f56084b87298bcbf1b819ae5abd03004d5d34a59d62dc93627aa8"
    "f999a1eab175e0d1e303df27c5c9ea1c8b09b6fd05ebd3b277f843ae302c788a296fb9d1fafa9c11b35c5e7f3cabc4375d0e"
    "6601c517881b0b4d8b5080c57fbc987a342e56d4e1eaa1ef4a5c03650f97331a982807619b12130978c48f903d8012678222"
    "33c898e7bb875edbcf3274add900cd2eb244bb093fdc6af8f91fa053e0865e"
)


def whole(reader: SmallReader) -> SmallFile:
    """All that a reader gives."""
    return SmallFile(reader.graph, reader.facts, tuple(tensor for tensor, _ in reader.tensors()))


def decode_small(data: bytes, title: str = "the file") -> SmallFile:
    return whole(SmallReader(data, title))


def sparse(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.integers(-3, 4, (rows, columns)) * (draw.random((rows, columns)) < 0.15)


def every_kind() -> SmallFile:
    """Written without random numbers, whose generators may change."""
    table = np.array([[0, 1, 0, -2, 0, 0], [0, 0, 0, 0, 0, 0], [3, 0, 0, -1, 0, 1]])
    half, full = np.array([0.5, 0.75, 2], np.float16), np.array([0.1, 0.2, 0.3], np.float32)
    return SmallFile(
        b'\x08\x0a:\x0cnot a graph!', b'{"task":{"labels":["cat","dog"]}}',
        (
            from_symbols("fc1.weight", table, positive=half, negative=-half),
            from_symbols("fc1.bias", np.array([3, 0, -100]), step=0.1),
            from_symbols("fc2.weight", table.reshape(3, 1, 2, 3), positive=full, negative=-full),
            from_symbols("fc2.scaled", table, radix=7, scales=np.array([1, 0.5, 3])),
            from_values("nan", np.array([np.nan, -0.0, np.inf], np.float32)),
            from_values("exact in half", np.array([1, 1.5, -2], np.float32)),
            from_values("int", np.array([[-1, 1 << 40]])),
            from_values("bool", np.array(True)),
            from_values("none", np.zeros((0, 4), np.float32)),
        ),
    )  # fmt: skip


def same(one: SmallFile, other: SmallFile) -> bool:
    pairs = list(zip(one.tensors, other.tensors, strict=True))
    dense = [(mine.dense(), theirs.dense()) for mine, theirs in pairs]
    return (
        (one.graph, one.facts) == (other.graph, other.facts)
        and all((mine.name, mine.kind) == (theirs.name, theirs.kind) for mine, theirs in pairs)
        and all((a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes()) for a, b in dense)
    )


def test_every_kind_comes_back_to_the_bit() -> None:
    file = every_kind()
    assert same(decode_small(encode_small(file)), file)


def test_the_bytes_of_version_1() -> None:
    assert encode_small(every_kind()).hex() == GOLDEN
    assert same(decode_small(bytes.fromhex(GOLDEN)), every_kind())


shapes = st.lists(st.integers(0, 6), max_size=4).map(tuple)


@given(shapes, st.integers(0, 1000), st.sampled_from(("few", "steps", "float", "half", "int", "zeros")))
@settings(max_examples=80, deadline=None)
def test_any_values_come_back_to_the_bit(shape: tuple[int, ...], seed: int, kind: str) -> None:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=shape).astype(np.float32)
    if kind == "few":
        values = (np.round(values) + np.float32(0)) * np.float32(0.1) + np.float32(0.017) * (np.round(values) > 1)
    elif kind == "steps":
        values = (np.round(values * 9) + 0).astype(np.float32) * np.float32(0.013)
    elif kind == "half":
        values = values.astype(np.float16)
    elif kind == "int":
        values = draw.integers(-128, 128, shape).astype(np.int8)
    elif kind == "zeros":
        values = np.zeros(shape, np.float32)
    file = SmallFile(b"", b"", (from_values("w", np.asarray(values)),) * 2)
    assert same(decode_small(encode_small(file)), file)


def test_values_take_the_smallest_form() -> None:
    draw = np.random.default_rng(0)
    few = draw.choice(np.array([0, 0.1, -0.37, 2.5], np.float32), (20, 20))
    assert [from_values("w", each).kind for each in (few, np.round(few), draw.normal(size=9).astype(np.float32))] == [
        "codebook", "step", "raw",
    ]  # fmt: skip
    masked = from_values("w", np.float32([0.0, -0.0, 1, 1, 1, 1, 1, 1]))
    assert masked.dense().tobytes() == np.float32([0, 0, 1, 1, 1, 1, 1, 1]).tobytes()  # zeros lose their sign


@pytest.mark.parametrize("mode", ["small", "fast"])
def test_both_coders_give_the_same_values(mode: small_file.Mode, tmp_path: Path) -> None:
    pytest.importorskip("constriction")
    file = SmallFile(b"g", b"", (from_symbols("w", sparse(90, 80), step=0.5), from_values("b", np.float32([1, 2.5]))))
    size = write_small(tmp_path / "x.cwz", file, mode=mode)
    assert size == (tmp_path / "x.cwz").stat().st_size
    assert same(whole(open_small(tmp_path / "x.cwz")), file)
    found = dict(stream_small(tmp_path / "x.cwz"))
    assert list(found) == ["w", "b"]
    assert found["w"].tobytes() == file.tensors[0].dense().tobytes()


@pytest.mark.parametrize("symbol", [1, -1])
def test_one_kind_of_symbol_codes_nothing(symbol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("constriction")
    table = (np.random.default_rng(0).random((90, 80)) < 0.2).astype(np.int32) * symbol
    file = SmallFile(b"", b"", (from_symbols("w", table, step=0.5),))
    data = encode_small(file, mode="fast")
    assert same(decode_small(data), file)
    assert same(decode_small(encode_small(file, mode="small")), file)
    words = [block_coder.encode_blocks(table, symbol < 0, symbol > 0, plain=plain).tolist() for plain in (True, False)]
    assert words[0] == words[1]
    monkeypatch.setattr(queue_coder, "has_constriction", lambda: False)
    assert same(decode_small(data), file)


def test_fast_files_are_read_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("constriction")
    file = SmallFile(b"", b"", (from_symbols("w", sparse(90, 80), step=0.5),))
    data = encode_small(file, mode="fast")
    monkeypatch.setattr(queue_coder, "has_constriction", lambda: False)
    assert same(decode_small(data), file)
    with pytest.raises(MissingExtraError):
        encode_small(file, mode="fast")
    assert same(decode_small(encode_small(file)), file)  # "auto" needs nothing for a small one


def test_the_ledger_counts_every_byte(tmp_path: Path) -> None:
    for mode in ("small", "fast"):
        write_small(tmp_path / "x.cwz", every_kind(), mode=mode)  # type: ignore[arg-type]
        found = ledger(tmp_path / "x.cwz")
        columns = (found.values, found.indices, found.codebooks, found.biases, found.graph, found.task, found.headers)
        assert sum(columns) == found.total == (tmp_path / "x.cwz").stat().st_size
        assert min(columns) >= 0
        assert found.headers >= 18
        assert [row.name for row in found.rows] == [tensor.name for tensor in every_kind().tensors]
        assert (found.rows[0].count, found.rows[0].nonzero) == (18, 5)
        assert found.dense == sum(tensor.dense().nbytes for tensor in every_kind().tensors)
    pytest.importorskip("constriction")
    big = SmallFile(b"", b"", (from_symbols("w", sparse(90, 80), step=0.5),))
    counted = []
    for mode in ("small", "fast"):
        write_small(tmp_path / "x.cwz", big, mode=mode)  # type: ignore[arg-type]
        counted.append(ledger(tmp_path / "x.cwz"))
    one, other = counted
    assert one.indices > 300
    assert one.indices < other.indices < 2 * one.indices
    assert one.values == pytest.approx(other.values, rel=0.5)


def test_every_damaged_byte_is_refused() -> None:
    data = encode_small(every_kind())
    for place in range(len(data)):
        bad = bytearray(data)
        bad[place] ^= 1 << place % 8
        with pytest.raises(NetworkError):
            decode_small(bytes(bad))
        with pytest.raises(NetworkError):
            decode_small(data[:place])
    with pytest.raises(NetworkError):
        decode_small(data + b"\0")


def fixed(data: bytes) -> bytes:
    """A checksum that fits."""
    return data[:4] + struct.pack("<I", zlib.crc32(data[8:])) + data[8:]


def test_behind_the_checksum_the_digest_refuses() -> None:
    data = encode_small(every_kind())
    for place in range(16, len(data)):
        bad = bytearray(data)
        bad[place] ^= 16
        with pytest.raises(NetworkError) as caught:
            decode_small(fixed(bytes(bad)), "x.cwz")
        assert "x.cwz" in caught.value.message
        assert "\n" not in caught.value.message


def test_other_versions_and_files_are_named() -> None:
    data = encode_small(every_kind())
    with pytest.raises(NetworkError, match="version 2"):
        decode_small(fixed(data[:3] + b"\2" + data[4:]))
    with pytest.raises(NetworkError, match="no compressed network"):
        decode_small(b"PK\3\4" + data)


def test_a_header_alone_allocates_nothing() -> None:
    """A file of some hundred bytes that declares 2^40 values."""
    coder_shape = (1 << 20, 1 << 20)
    huge = SmallTensor("w", coder_shape, "step", np.broadcast_to(np.int32(0), (1, 1)), step=1.0)
    stream = Stream(small_file.RangeEncoder())
    for what, text in (("graph", b""), ("task", b"")):
        stream.string(what, text)
    stream.number("tensors", 1)
    stream.string("name", b"w")
    stream.number("axes", 2)
    for size in huge.shape:
        stream.number("axis", size)
    body = b"\0" + stream.coder.finish() + b"\x55" * 200  # type: ignore[attr-defined]
    data = fixed(b"CWZ\1" + bytes(12) + body)
    tracemalloc.start()
    with pytest.raises(NetworkError, match="does not hold so many values"):
        decode_small(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 << 20
    with pytest.raises(NetworkError, match="so much text"):
        Budget(100).take_text(1 << 20)


def test_nearly_empty_tensors_are_padded_to_what_they_declare() -> None:
    file = SmallFile(b"", b"", (from_values("w", np.zeros((2000, 600), np.float32)),))
    data = encode_small(file, mode="small")
    assert 256 * len(data) + (1 << 16) >= 1_200_000
    assert same(decode_small(data), file)


def test_text_is_padded_to_what_it_declares() -> None:
    file = SmallFile(b"\x0a\x04\x12\x02!1" * 9000, b"", ())
    data = encode_small(file)
    assert 4096 + 64 * len(data) >= len(file.graph)
    assert same(decode_small(data), file)
    with pytest.raises(NetworkError, match="bytes of text"):
        encode_small(SmallFile(bytes((16 << 20) + 1), b"", ()))


def test_what_no_reader_accepts_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = SmallTensor("w", (1 << 15, (1 << 14) + 1), "step", np.broadcast_to(np.int32(0), (1, 1)), step=1.0)
    with pytest.raises(NetworkError, match="values; a compressed file holds at most 536,870,912"):
        encode_small(SmallFile(b"", b"", (huge,)))
    assert Budget(1 << 30).values == 1 << 29
    data = encode_small(every_kind())
    monkeypatch.setattr(small_file, "LIMIT_BYTES", len(data))
    assert encode_small(every_kind()) == data
    monkeypatch.setattr(small_file, "LIMIT_BYTES", len(data) - 1)
    with pytest.raises(NetworkError, match="can be read"):
        encode_small(every_kind())


def test_what_cannot_be_stored_is_said() -> None:
    for given_, words in (
        ({"step": 1.0, "radix": 2}, "one of step"),
        ({}, "one of step"),
        ({"positive": np.ones(1)}, "values for"),
        ({"radix": 99}, "radix 99"),
        ({"step": 1.0, "scales": np.ones(3)}, "scales of shape"),
        ({"step": 1e39}, "a step that float32 cannot hold"),
        ({"step": float("nan")}, "a step that float32 cannot hold"),
        ({"step": 1.0, "scales": np.array([7e4])}, "a scale that float16 cannot hold"),
        ({"radix": 2, "scales": np.array([np.nan])}, "a scale that float16 cannot hold"),
        ({"positive": np.array([1, 1e39]), "negative": np.ones(1)}, "a value that float32 cannot hold"),
    ):
        with pytest.raises(InputError, match=words):
            from_symbols("w", np.array([[2, -1]]), **given_)  # type: ignore[arg-type]
    for large in (1 << 17, (1 << 32) + 1, -(1 << 40), 1e30):
        with pytest.raises(InputError, match="65536"):
            from_symbols("w", np.array([large]), step=1.0)
    with pytest.raises(InputError, match="complex64"):
        from_values("w", np.zeros(3, np.complex64))
    for symbols in (np.array([0.5]), np.array([np.nan]), np.array([np.inf])):
        with pytest.raises(InputError, match="whole numbers"):
            from_symbols("w", symbols, step=1.0)
    scalar = from_symbols("w", np.array(2.0), step=0.5)
    assert (scalar.shape, scalar.dense().tolist()) == ((), 1.0)


def test_the_step_is_the_smallest_magnitude_or_else_the_smallest_distance() -> None:
    values = np.float32([0.5, 0.75, 1.5, 0.5, 0.75, 1.5])
    assert from_values("w", values).step == 0.25  # 0.75 is no multiple of 0.5
    values = np.float32([0.5, -0.5, 2, 0.5, -0.5, 2])  # distances 1 and 1.5
    assert from_values("w", values).step == 0.5
    assert from_values("w", np.float32([2, 3, 2, 3, 2, 3])).step == 1.0
    assert from_values("w", np.float32([3, 3, 3, 3])).step == 3.0  # no distance at all
    assert from_values("w", np.zeros(4, np.float32)).kind == "codebook"  # neither


def test_a_reader_gives_the_graph_before_any_tensor() -> None:
    reader = SmallReader(encode_small(every_kind()))
    assert (reader.graph, reader.facts) == (every_kind().graph, every_kind().facts)
    tensor, values = next(reader.tensors())
    assert tensor.name == "fc1.weight"
    assert values.tobytes() == every_kind().tensors[0].dense().tobytes()
