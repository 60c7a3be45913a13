"""Downloads from a real server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
from dataclasses import replace

import numpy as np
import pytest

from chipwise import datasets
from chipwise.codec.cache import cache_folder
from chipwise.core.errors import MachineError, StorageError
from chipwise.core.events import silent
from chipwise.datasets import download, fashion_mnist, mnist
from chipwise.datasets.download import Archive, fetch


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; counts requests; `cut` bytes are missing at the end of every answer."""

    daemon_threads = True

    def __init__(self, files):
        self.files, self.asked, self.cut = files, [], 0
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/")
        self.server.asked.append(name)
        if name not in self.server.files:
            self.send_error(404)
            return
        body = self.server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) - self.server.cut])

    def log_message(self, *arguments):
        pass


def idx_files():
    def packed(array):
        head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        return gzip.compress(head + array.astype(np.uint8).tobytes())

    parts = {}
    for prefix, count in (("train", 20), ("t10k", 10)):
        parts[f"{prefix}-images-idx3-ubyte.gz"] = packed(np.ones((count, 28, 28)))
        parts[f"{prefix}-labels-idx1-ubyte.gz"] = packed(np.arange(count) % 10)
    return parts


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("CHIPWISE_CACHE", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    with Server(idx_files()) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def archive(server):
    sums = {name: "sha256:" + hashlib.sha256(body).hexdigest() for name, body in server.files.items()}
    return Archive("toy", (server.address,), sums)


@pytest.mark.parametrize(("name", "module"), [("mnist", mnist), ("fashion-mnist", fashion_mnist)])
def test_a_set_is_downloaded_once_and_then_read_from_the_cache(server, archive, monkeypatch, name, module):
    monkeypatch.setattr(module, "ARCHIVE", replace(archive, name=name))
    data = datasets.load(name)
    assert (len(data), data.test_count, data.classes, data.name) == (30, 10, 10, name)
    assert sorted(server.asked) == sorted(server.files)
    datasets.load(name)
    assert len(server.asked) == 4


def test_only_what_is_missing_or_damaged_is_fetched_again(server, archive):
    folder = fetch(archive, silent)
    names = sorted(archive.files)
    (folder / names[0]).unlink()
    (folder / names[2]).write_bytes(b"damaged")
    server.asked.clear()
    fetch(archive, silent)
    assert sorted(server.asked) == [names[0], names[2]]


def test_md5_is_understood(server):
    body = server.files["t10k-labels-idx1-ubyte.gz"]
    sums = {"t10k-labels-idx1-ubyte.gz": "md5:" + hashlib.md5(body).hexdigest()}
    assert fetch(Archive("toy", (server.address,), sums), silent).is_dir()


def failure(archive):
    """What fetch says; nothing may be left in the cache."""
    with pytest.raises(MachineError) as caught:
        fetch(archive, silent)
    folder = cache_folder("data") / archive.name
    assert not folder.exists() or not list(folder.iterdir())
    assert "idx:FOLDER" in caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_wrong_checksum_keeps_nothing(server, archive):
    message = failure(replace(archive, files=dict.fromkeys(archive.files, "sha256:" + "0" * 64)))
    assert server.address in message
    assert "checksum" in message


def test_a_cut_answer_keeps_nothing(server, archive):
    server.cut = 10
    assert server.address in failure(archive)


def test_a_missing_file_names_its_address(server, archive):
    server.files.clear()
    assert "404" in failure(archive)


def test_no_connection_names_every_address(archive):
    dead = ("http://127.0.0.1:9/", "http://127.0.0.1:9/other/")
    message = failure(replace(archive, mirrors=dead))
    assert all(mirror in message for mirror in dead)


def test_the_second_mirror_helps_out(archive):
    assert fetch(replace(archive, mirrors=("http://127.0.0.1:9/", *archive.mirrors)), silent).is_dir()


def test_endless_answers_are_cut_off(archive, monkeypatch):
    monkeypatch.setattr(download, "MAX_FILE_BYTES", 20)
    assert "more than 20 bytes" in failure(archive)


def test_a_cache_that_cannot_be_written_is_a_storage_error(archive, tmp_path):
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(StorageError):
        fetch(archive, silent)


def test_progress_ends_at_one(archive):
    seen = []

    class Watch:
        def update(self, stage, fraction, message=""):
            seen.append((stage, fraction))

        def note(self, message):
            pass

    fetch(archive, Watch())
    assert sum(fraction == 1.0 for _, fraction in seen) == 4
    assert all(0 <= fraction <= 1 and stage.startswith("downloading ") for stage, fraction in seen)


@pytest.mark.shared
def test_the_published_checksums_are_those_of_the_real_files(shared_data):
    for name, checksum in mnist.ARCHIVE.files.items():
        assert checksum == "sha256:" + hashlib.sha256((shared_data / "mnist" / name).read_bytes()).hexdigest()
    assert fashion_mnist.ARCHIVE.files.keys() == mnist.ARCHIVE.files.keys()
