"""Files of NumPy arrays, whole and hostile."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from chipwise import datasets
from chipwise.core.errors import DataError

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 9, 9), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def load(tmp_path, save=np.savez, **arrays):
    save(tmp_path / "data.npz", **arrays)
    return datasets.load(f"npz:{tmp_path / 'data.npz'}")


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("data", "target")])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_pictures_by_their_usual_names(tmp_path, names, save):
    data = load(tmp_path, save, **dict(zip(names, (PICTURES, LABELS), strict=True)))
    assert data.pictures
    assert np.array_equal(data.inputs[..., 0], PICTURES)
    assert (data.labels.tolist(), data.test_count) == (LABELS.tolist(), 0)


@pytest.mark.parametrize(
    "names",
    [("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels")],
)
def test_an_official_test_set_stays_last(tmp_path, names):
    arrays = (PICTURES, LABELS[:, None], PICTURES[:2], LABELS[:2, None])
    data = load(tmp_path, **dict(zip(names, arrays, strict=True)))
    assert (len(data), data.test_count) == (8, 2)
    assert np.array_equal(data.inputs[6:, ..., 0], PICTURES[:2])


def test_a_validation_part_joins_the_training_rows(tmp_path):
    data = load(tmp_path, x_train=PICTURES, y_train=LABELS, x_val=PICTURES[:3], y_val=LABELS[:3],
                x_test=PICTURES[:1], y_test=LABELS[:1])  # fmt: skip
    assert (len(data), data.test_count) == (10, 1)


@pytest.mark.parametrize(
    "stored",
    [PICTURES[..., None], PICTURES[:, None], PICTURES.reshape(6, 81), np.asfortranarray(PICTURES)],
)
def test_every_layout_of_pictures_becomes_rows_columns_channels(tmp_path, stored):
    assert np.array_equal(load(tmp_path, x=stored, y=LABELS).inputs[..., 0], PICTURES)


def test_channels_first_colour_is_turned(tmp_path):
    colour = np.random.default_rng(1).integers(0, 256, (6, 3, 8, 9), dtype=np.uint8)
    assert np.array_equal(load(tmp_path, x=colour, y=LABELS).inputs, colour.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4", np.int64])
def test_other_numbers_are_arrays(tmp_path, dtype):
    data = load(tmp_path, x=PICTURES.astype(dtype), y=LABELS)
    assert (data.pictures, data.inputs.dtype) == (False, np.float32)
    assert np.array_equal(data.inputs, PICTURES.astype(np.float32))


def test_class_names_are_read(tmp_path):
    assert load(tmp_path, x=PICTURES, y=LABELS, class_names=["a", "b", "c"]).class_names == ("a", "b", "c")
    with pytest.raises(DataError, match="label 2 of sample 2"):
        load(tmp_path, x=PICTURES, y=LABELS, class_names=["a", "b"])
    with pytest.raises(DataError, match="class_names"):
        load(tmp_path, x=PICTURES, y=LABELS, class_names=[1, 2, 3])


def test_pickled_objects_are_refused(tmp_path):
    with pytest.raises(DataError, match="pickled"):
        load(tmp_path, x=np.array([{"a": 1}] * 6, object), y=LABELS)
    with pytest.raises(DataError, match="pickled"):
        load(tmp_path, x=PICTURES, y=LABELS, class_names=np.array(["a", "b", "c"], object))


def test_other_names_are_listed(tmp_path):
    with pytest.raises(DataError, match="holds a, b"):
        load(tmp_path, a=PICTURES, b=LABELS)


def test_train_and_test_must_agree(tmp_path):
    with pytest.raises(DataError, match="samples differ"):
        load(tmp_path, x_train=PICTURES, y_train=LABELS, x_test=PICTURES[:, 1:], y_test=LABELS)


def forged(tmp_path, shape, body, version=(1, 0)):
    """A file whose array x says `shape` and holds `body`."""
    head = io.BytesIO()
    npy.write_array_header_1_0(head, {"shape": shape, "fortran_order": False, "descr": "|u1"})
    content = bytearray(head.getvalue())
    content[6:8] = bytes(version)
    label = io.BytesIO()
    np.save(label, LABELS)
    with zipfile.ZipFile(tmp_path / "data.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(content) + body)
        archive.writestr("y.npy", label.getvalue())
    return f"npz:{tmp_path / 'data.npz'}"


@pytest.mark.parametrize("shape", [(10**6, 1000, 1000), (6, 9, 10), (6, 9, 8), (2**70,), (6, -9, -9)])
def test_headers_that_lie_about_the_size_are_refused_before_allocation(tmp_path, shape):
    with pytest.raises(DataError, match="array x says"):
        datasets.load(forged(tmp_path, shape, PICTURES.tobytes()))


def test_unknown_formats_are_refused(tmp_path):
    with pytest.raises(DataError, match="format"):
        datasets.load(forged(tmp_path, (6, 9, 9), PICTURES.tobytes(), version=(3, 0)))


def test_a_zip_directory_that_lies_is_refused(tmp_path):
    spec = forged(tmp_path, (6, 9, 9), bytes(6 * 81))
    path = tmp_path / "data.npz"
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    (size,) = struct.unpack_from("<I", data, entry + 24)
    struct.pack_into("<I", data, entry + 24, size + 81)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"data\.npz"):
        datasets.load(spec)


def test_any_cut_or_flip_is_a_data_error_or_reads_the_same(tmp_path):
    np.savez_compressed(tmp_path / "good.npz", x=PICTURES, y=LABELS)
    good = (tmp_path / "good.npz").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "data.npz"
    for _ in range(150):
        data = bytearray(good)
        place = int(rng.integers(len(data)))
        if rng.random() < 0.3:
            del data[place:]
        else:
            data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            assert np.array_equal(datasets.load(f"npz:{path}").inputs[..., 0], PICTURES)
        except DataError as error:
            assert "data.npz" in error.message  # noqa: PT017 (either outcome is right)


@pytest.mark.parametrize("text", ["(" * 5000, "-" * 9000 + "1", "{'descr': '|u1'", "'" * 3, "{'a': (2.5,)}"])
def test_headers_that_are_no_header_are_refused(tmp_path, text):
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", content)
    with pytest.raises(DataError, match="header"):
        datasets.load(f"npz:{tmp_path / 'data.npz'}")


def test_damage_in_a_file_packed_another_way_is_found(tmp_path):
    np.savez(tmp_path / "plain.npz", x=PICTURES, y=LABELS)
    with (
        zipfile.ZipFile(tmp_path / "plain.npz") as plain,
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as lzma,
    ):
        for name in plain.namelist():
            lzma.writestr(name, plain.read(name))
    assert np.array_equal(datasets.load(f"npz:{tmp_path / 'a.npz'}").inputs[..., 0], PICTURES)
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[60] ^= 0x55
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.npz"):
        datasets.load(f"npz:{tmp_path / 'a.npz'}")


@pytest.mark.parametrize(
    ("inputs", "labels"), [(np.uint8(3), np.int64(1)), (PICTURES, LABELS[:5]), (PICTURES, np.eye(6))]
)
def test_labels_must_be_one_for_each_sample(tmp_path, inputs, labels):
    with pytest.raises(DataError, match="y_test"):
        load(tmp_path, x_train=PICTURES, y_train=LABELS, x_test=inputs, y_test=labels)


@pytest.mark.parametrize("content", [None, b"", b"text", b"PK\x03\x04"])
def test_what_is_no_npz_is_refused(tmp_path, content):
    path = tmp_path / "none.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"none\.npz"):
        datasets.load(f"npz:{path}")
