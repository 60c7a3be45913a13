"""IDX files, whole and broken."""

from __future__ import annotations

import gzip
import hashlib
import resource
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chipwise import datasets
from chipwise.core.errors import DataError, MachineError
from chipwise.datasets import memory
from chipwise.datasets.idx import find_pairs, read_idx


def idx_bytes(array):
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_pair(folder, prefix="train", count=6, side=4, suffix=""):
    images = np.arange(count * side * side, dtype=np.uint8).reshape(count, side, side)
    labels = (np.arange(count) % 3).astype(np.uint8)
    pack = gzip.compress if suffix else bytes
    (folder / f"{prefix}-images-idx3-ubyte{suffix}").write_bytes(pack(idx_bytes(images)))
    (folder / f"{prefix}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx_bytes(labels)))
    return images, labels


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_one_pair_is_the_whole_set(tmp_path, suffix):
    images, labels = write_pair(tmp_path, "letters", suffix=suffix)
    data = datasets.load(f"idx:{tmp_path}")
    assert np.array_equal(data.inputs[..., 0], images)
    assert np.array_equal(data.labels, labels)
    assert (data.class_names, data.test_count) == (("0", "1", "2"), 0)


@pytest.mark.parametrize("test", ["t10k", "emnist-test"])
def test_two_pairs_have_an_official_test_set(tmp_path, test):
    write_pair(tmp_path, "train", 6)
    write_pair(tmp_path, test, 3, suffix=".gz")
    data = datasets.load(f"idx:{tmp_path}")
    assert (len(data), data.test_count) == (9, 3)


def test_plain_and_packed_copies_of_a_file_are_one(tmp_path):
    write_pair(tmp_path, suffix=".gz")
    write_pair(tmp_path)
    assert len(find_pairs(tmp_path)) == 1


def test_dots_in_the_names_are_understood(tmp_path):
    write_pair(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    assert len(datasets.load(f"idx:{tmp_path}")) == 6


BROKEN = {
    "an empty file": (b"", "nothing"),
    "a picture": (b"\x89PNG\r\n\x1a\n0000000000", "89504e47"),
    "labels where images belong": (idx_bytes(np.zeros(9, np.uint8)), "00000801"),
    "floats": (struct.pack(">4B3I", 0, 0, 0x0D, 3, 1, 1, 1) + bytes(4), "00000d03"),
    "a cut header": (struct.pack(">4BI", 0, 0, 8, 3, 5), "header"),
    "short": (idx_bytes(np.zeros((2, 3, 3), np.uint8))[:-1], "short|has 17"),
    "too long": (idx_bytes(np.zeros((2, 3, 3), np.uint8)) + b"x", "has more"),
    "no images": (idx_bytes(np.zeros((0, 3, 3), np.uint8)), "zero size"),
    "images of zero size": (idx_bytes(np.zeros((4, 0, 3), np.uint8)), "zero size"),
    "a header of 10^12 pixels": (struct.pack(">4B3I", 0, 0, 8, 3, 10**6, 1000, 1000) + bytes(100), "cannot hold"),
    "a header beyond 64 bits": (struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3) + bytes(100), "cannot hold"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("packed", [False, True])
def test_broken_files_are_refused_by_name(tmp_path, name, packed):
    content, message = BROKEN[name]
    path = tmp_path / "broken-images-idx3-ubyte"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, 3)
    assert "broken-images" in caught.value.message
    assert "\n" not in caught.value.message


def test_damaged_gzip_is_refused(tmp_path):
    whole = gzip.compress(idx_bytes(np.random.default_rng(0).integers(0, 256, (9, 9, 9), np.uint8)))
    path = tmp_path / "images"
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (whole[: len(whole) // 2], whole[:-4], bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="images"):
            read_idx(path, 3)


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(idx_bytes(np.zeros((2, 3, 3), np.uint8)))
        for _ in range(200):
            file.write(bytes(2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="has more"):
        read_idx(path, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB; unpacked it has 200 MiB


def test_data_beyond_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    write_pair(tmp_path)
    monkeypatch.setattr(memory, "available_bytes", lambda: 50)
    with pytest.raises(MachineError, match="memory"):
        datasets.load(f"idx:{tmp_path}")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40), st.booleans())
def test_any_bytes_give_an_array_or_a_data_error(tmp_path, body, packed):
    path = tmp_path / "any"
    content = b"\x00\x00\x08\x03" + body
    path.write_bytes(gzip.compress(content) if packed else content)
    try:
        assert read_idx(path, 3).size > 0
    except DataError as error:
        assert "any" in error.message  # noqa: PT017 (either outcome is right)


def test_counts_must_agree(tmp_path):
    write_pair(tmp_path, count=6)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(5, np.uint8)))
    with pytest.raises(DataError, match="6 images but 5 labels"):
        datasets.load(f"idx:{tmp_path}")


def test_sizes_of_train_and_test_must_agree(tmp_path):
    write_pair(tmp_path, "train", side=4)
    write_pair(tmp_path, "t10k", side=5)
    with pytest.raises(DataError, match="differ in size"):
        datasets.load(f"idx:{tmp_path}")


def test_folders_without_a_clear_pair_are_refused(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        datasets.load(f"idx:{tmp_path}/none")
    with pytest.raises(DataError, match="no IDX images"):
        datasets.load(f"idx:{tmp_path}")
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b")
    with pytest.raises(DataError, match="several"):
        datasets.load(f"idx:{tmp_path}")
    (tmp_path / "b-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="no labels beside it"):
        datasets.load(f"idx:{tmp_path}")
    with pytest.raises(DataError, match="no such file"):
        read_idx(tmp_path / "none", 3)


@pytest.mark.shared
def test_real_mnist_and_its_split(shared_data):
    data = datasets.load(f"idx:{shared_data / 'mnist'}")
    parts = data.split(seed=0)
    assert (data.inputs.shape, data.test_count) == ((70_000, 28, 28, 1), 10_000)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [54_000, 6_000, 10_000]
    assert parts.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(parts.validation.labels).tolist() == [592, 674, 596, 613, 584, 542, 592, 627, 585, 595]
    assert (
        hashlib.sha256(parts.validation.inputs.tobytes()).hexdigest()
        == "ddc9c3240c335fdde27a4f72d6e60da56844e8167a7a36a1cec9feb3ecedc46b"
    )
