"""Range coder, models, Huffman, queue coder: what goes in comes out, at the price that the model says."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chipwise
from chipwise.codec import block_coder, huffman, queue_coder
from chipwise.codec.bit_models import ByteModel, Numbers, primed
from chipwise.codec.primer import PRIMER
from chipwise.codec.range_coder import FAR, IdealLength, RangeDecoder, RangeEncoder, squash_table, stretch_table
from chipwise.codec.symbol_coder import Layout, code_symbols, layout_of
from chipwise.core.errors import InputError, MissingExtraError

# A stream of format version 1: it must decode like this for ever.
GOLDEN_LAYOUT = Layout(6, 8, 4, 4, (0, 2))
GOLDEN_STREAM = "8852105fb31115d5df"
GOLDEN_SYMBOLS = "a2171d01480bf8c7"


def sparse(seed: int, rows: int, columns: int, share: float = 0.1) -> list[int]:
    """A seeded table whose rows and columns differ in density."""
    chance = random.Random(seed)
    row = [chance.random() ** 2 for _ in range(rows)]
    column = [chance.random() ** 2 for _ in range(columns)]
    return [
        chance.choice((-3, -2, -1, -1, 1, 1, 1, 2, 5)) if chance.random() < 9 * share * row[r] * column[c] else 0
        for r in range(rows)
        for c in range(columns)
    ]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 65_535)), max_size=300))
@settings(max_examples=60, deadline=None)
def test_bits_come_back_at_any_chance(pairs: list[tuple[int, int]]) -> None:
    encoder, ideal = RangeEncoder(), IdealLength()
    for bit, chance in pairs:
        encoder.code(bit, chance)
        ideal.code(bit, chance)
    data = encoder.finish()
    decoder = RangeDecoder(data)
    assert [decoder.code(0, chance) for _, chance in pairs] == [bit for bit, _ in pairs]
    decoder.check_end()
    assert 8 * len(data) <= ideal.bits * 1.001 + 16


def test_a_decoder_takes_no_more_than_was_written() -> None:
    encoder = RangeEncoder()
    for _ in range(100):
        encoder.code(1, 1 << 15)
    data = encoder.finish()
    decoder = RangeDecoder(data[:5])
    with pytest.raises(InputError, match="end too early"):
        [decoder.code(0, 1 << 15) for _ in range(200)]
    with pytest.raises(InputError, match="go on after the end"):
        RangeDecoder(data + b"12345678").check_end()


def test_the_tables_are_those_of_the_format() -> None:
    squash, stretch = squash_table(), stretch_table()
    assert (squash[FAR], squash[FAR + 256], squash[0], squash[-1]) == (32_768, 47_911, 1, 65_535)
    assert squash == sorted(squash)
    assert all(squash[stretch[chance] + FAR] <= max(chance, 1) for chance in range(65_536))
    text = ",".join(map(str, [*squash, *stretch]))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "af88f08b0ecc8561"


@given(st.lists(st.integers(0, 1 << 39)), st.binary(max_size=120))
@settings(max_examples=30, deadline=None)
def test_numbers_and_text(values: list[int], text: bytes) -> None:
    encoder, numbers, model = RangeEncoder(), Numbers(), primed(PRIMER)
    for value in values:
        numbers.code(encoder, value)
    for byte in text:
        model.code(encoder, byte)
    decoder, numbers, model = RangeDecoder(encoder.finish()), Numbers(), primed(PRIMER)
    assert [numbers.code(decoder) for _ in values] == values
    assert bytes(model.code(decoder) for _ in text) == text


def test_a_primed_model_is_a_copy() -> None:
    first = IdealLength()
    for _ in range(2):
        ideal, model = IdealLength(), primed(PRIMER)
        for byte in PRIMER[:40]:
            model.code(ideal, byte)
        first = first if first.bits else ideal
        assert ideal.bits == first.bits
    plain, model = IdealLength(), ByteModel()
    for byte in PRIMER[:40]:
        model.code(plain, byte)
    assert first.bits < plain.bits / 2


tables = st.tuples(st.integers(0, 99), st.integers(1, 12), st.integers(1, 12), st.sampled_from((0.0, 0.05, 0.3, 1.0)))


@given(tables, st.integers(1, 12), st.lists(st.integers(0, 7), max_size=4))
@settings(max_examples=60, deadline=None)
def test_symbols_come_back(size: tuple[int, int, int, float], period: int, before: list[int]) -> None:
    seed, rows, columns, share = size
    table = sparse(seed, rows, columns, share)
    block = columns // len(before) if before and columns % len(before) == 0 else 0
    layout = Layout(rows, columns, period, block, tuple(before) if block else ())
    encoder, ideal = RangeEncoder(), IdealLength()
    held = code_symbols(encoder, list(table), layout)[1]
    code_symbols(ideal, list(table), layout)
    data = encoder.finish()
    decoder = RangeDecoder(data)
    assert code_symbols(decoder, [0] * len(table), layout) == (table, held)
    decoder.check_end()
    assert 8 * len(data) <= 1.02 * ideal.bits + 16


def test_the_reference_coder_beats_huffman_and_its_price_is_the_models() -> None:
    table = sparse(7, 60, 160, 0.05)
    encoder, ideal, layout = RangeEncoder(), IdealLength(), Layout(60, 160, 16)
    code_symbols(encoder, list(table), layout)
    code_symbols(ideal, list(table), layout)
    size = len(encoder.finish())
    assert 8 * size <= 1.02 * ideal.bits
    prices = [huffman.huffman_bits(np.array(table), bits).total for bits in (4, 5, 6, 8)]
    assert 8 * size < 0.85 * min(prices)


def test_the_layout_follows_the_shape() -> None:
    assert layout_of((50, 20, 5, 5), [1] * 20) == Layout(50, 500, 25, 25, (1,) * 20)
    assert layout_of((500, 800), [2] * 50) == Layout(500, 800, 16, 16, (2,) * 50)
    assert layout_of((10, 500), [2] * 7) == Layout(10, 500)
    assert layout_of((9,), [2] * 9) == Layout(1, 9)
    assert layout_of((), []) == Layout(1, 1)


def test_a_stream_of_version_1_decodes_for_ever() -> None:
    symbols, held = code_symbols(RangeDecoder(bytes.fromhex(GOLDEN_STREAM)), [0] * 48, GOLDEN_LAYOUT)
    assert symbols == sparse(3, 6, 8, 0.4)
    assert hashlib.sha256(repr((symbols, held)).encode()).hexdigest()[:16] == GOLDEN_SYMBOLS


def other_pythons() -> list[str]:
    """Interpreters of other versions that are installed."""
    places = [Path("/usr/bin"), Path("/usr/local/bin"), *Path.home().glob(".pyenv/versions/*/bin")]
    found = {}
    for place in places:
        for minor in (11, 12, 13, 14):
            path = place / f"python3.{minor}"
            if minor != sys.version_info.minor and path.is_file():
                found[minor] = str(path)
    return list(found.values())


@pytest.mark.parametrize("python", other_pythons() or [pytest.param("", marks=pytest.mark.skip("no other Python"))])
def test_another_python_decodes_the_same(python: str) -> None:
    """The reference decoder needs nothing but Python, so that an interpreter without NumPy will do."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(chipwise.__file__).parent.parent)!r})\n"
        "import hashlib\n"
        "from chipwise.codec.range_coder import RangeDecoder\n"
        "from chipwise.codec.symbol_coder import Layout, code_symbols\n"
        f"layout = Layout(6, 8, 4, 4, (0, 2)); data = bytes.fromhex({GOLDEN_STREAM!r})\n"
        "print(hashlib.sha256(repr(code_symbols(RangeDecoder(data), [0] * 48, layout)).encode()).hexdigest()[:16])"
    )
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == GOLDEN_SYMBOLS, done.stderr


batches = st.lists(
    st.tuples(st.lists(st.sampled_from((0, 1, 7, 1000, 10**6)), min_size=2, max_size=40), st.integers(1, 60)),
    max_size=12,
)


@given(batches, st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_the_plain_queue_coder_is_constrictions(made: list[tuple[list[int], int]], seed: int) -> None:
    pytest.importorskip("constriction")
    chance = random.Random(seed)
    given_ = [
        ([chance.randrange(len(counts)) for _ in range(count)], queue_coder.frequencies(counts))
        for counts, count in made
    ]
    words = queue_coder.encode(given_)
    assert words.tolist() == queue_coder.encode(given_, plain=True).tolist()
    for decoder in (queue_coder.decoder(words), queue_coder.QueueDecoder(words)):
        assert [decoder.decode(table, len(symbols)).tolist() for symbols, table in given_] == [s for s, _ in given_]


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (40, 64), (200, 3)])
def test_blocks_come_back_with_and_without_constriction(shape: tuple[int, int]) -> None:
    table = np.array(sparse(1, *shape, 0.3)).reshape(shape)
    plain = block_coder.encode_blocks(table, 3, 5, plain=True)
    found, share = block_coder.decode_blocks(plain, shape, 3, 5, plain=True)
    assert (found == table).all()
    assert 0 <= share <= 1
    pytest.importorskip("constriction")
    assert block_coder.encode_blocks(table, 3, 5).tolist() == plain.tolist()
    assert (block_coder.decode_blocks(plain, shape, 3, 5)[0] == table).all()


def test_the_words_of_version_1() -> None:
    words = block_coder.encode_blocks(np.array(sparse(5, 90, 40, 0.3)).reshape(90, 40), 3, 5, plain=True)
    assert hashlib.sha256(words.astype("<u4").tobytes()).hexdigest()[:16] == "791f7ff584f8a862"


def test_without_the_extra_fast_files_are_read_and_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.array([[0, 1, 2, 0]] * 9)
    words = block_coder.encode_blocks(table, 0, 2, plain=True)
    monkeypatch.setattr(queue_coder, "has_constriction", lambda: False)
    with pytest.raises(MissingExtraError) as caught:
        block_coder.encode_blocks(table, 0, 2)
    assert "chipwise[compress]" in caught.value.hint
    assert (block_coder.decode_blocks(words, (9, 4), 0, 2)[0] == table).all()


def test_damaged_words_are_refused_by_both() -> None:
    table = queue_coder.frequencies([0, 10**6])
    words = np.array([0xFFFFFFFF] * 3, np.uint32)
    plain = queue_coder.QueueDecoder(words)
    with pytest.raises(InputError, match="damaged"):
        plain.decode([1 << 23, 1 << 23], 400)
    pytest.importorskip("constriction")
    with pytest.raises(InputError, match="damaged"):
        queue_coder.decoder(words).decode([1 << 23, 1 << 23], 400)
    assert sum(table) == 1 << 24


@given(st.lists(st.integers(0, 20), min_size=1, max_size=200), st.integers(5, 12))
@settings(max_examples=60, deadline=None)
def test_huffman(symbols: list[int], longest: int) -> None:
    code = huffman.lengths(symbols, 21, longest)
    assert max(code) <= longest
    assert sum(2.0**-bits for bits in code if bits) <= 1
    assert huffman.decode(huffman.encode(symbols, code), code, len(symbols)) == symbols


def test_huffman_is_optimal_and_the_limit_binds() -> None:
    symbols = [symbol for symbol in range(12) for _ in range(2**symbol)]  # a chain of words without a limit
    assert max(huffman.lengths(symbols, 12)) == 11
    assert max(huffman.lengths(symbols, 12, 5)) == 5
    with pytest.raises(InputError):
        huffman.lengths(range(9), 9, 3)
    with pytest.raises(InputError, match="too early"):
        huffman.decode(b"\x00", [1, 1], 9)


@given(st.integers(0, 50), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_runs_with_fillers(seed: int, bits: int) -> None:
    table = np.array(sparse(seed, 9, 40, 0.05)).reshape(9, 40)
    runs, values = huffman.to_runs(table, bits)
    assert runs.max(initial=0) < 1 << bits
    assert (values != 0).sum() == (table != 0).sum()
    assert (huffman.from_runs(runs, values, (9, 40)) == table).all()
    assert huffman.huffman_bits(table, bits).stored == len(runs)
