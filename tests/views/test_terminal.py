"""Answers on stdout, progress on stderr, both usable without colour, Unicode or a terminal."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest

from chipwise.core.plan import Choice
from chipwise.core.report import Prediction, RunResult
from chipwise.views.answers import print_record
from chipwise.views.terminal import TerminalProgress

from . import samples


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


def test_answers_go_to_stdout_without_escape_codes(capsys: pytest.CaptureFixture[str]) -> None:
    print_record(samples.bench())
    out, err = capsys.readouterr()
    assert "onnxruntime default" in out
    assert "\x1b" not in out
    assert not err


def test_long_paths_stay_whole(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    path = "a/long/folder/" * 10 + "picture.png"
    print_record(RunResult("x.plan", Choice("onnxruntime"), (Prediction(path, top=(("cat", 0.9),)),), 1e-3))
    assert path in capsys.readouterr().out.splitlines()


def test_no_color_is_respected_on_a_terminal(monkeypatch: pytest.MonkeyPatch, plain_terminal: None) -> None:
    for colour, expected in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", colour)
        stream = Terminal()
        monkeypatch.setattr(sys, "stdout", stream)
        print_record(samples.bench())
        assert ("\x1b[32m" in stream.getvalue()) is expected


@pytest.mark.parametrize("encoding", ["ascii", "cp437", "latin-1"])
def test_terminals_without_unicode_get_ascii(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    print_record(samples.bench())
    sys.stdout.flush()
    made = raw.getvalue().decode("ascii")
    assert "24.6 us" in made
    assert "2.08x [2.01-2.14]" in made


def test_a_pipe_gets_notes_and_stage_ends_only() -> None:
    stream = io.StringIO()
    with TerminalProgress(stream) as progress:
        progress.update("training", 0.5, "loss 0.1")
        progress.note("kept epoch 3")
        progress.update("training", 1.0, "accuracy 98.6%")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "kept epoch 3"
    assert lines[1].startswith("training done in ")
    assert lines[1].endswith(": accuracy 98.6%")
    assert len(lines) == 2


def test_a_pipe_sees_long_work_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("chipwise.views.terminal.time.monotonic", lambda: now)
    stream = io.StringIO()
    with TerminalProgress(stream) as progress:
        for step in range(1000):
            now += 0.1 if step < 500 else 10.0
            progress.update("training", step / 1000, f"step {step}")
            if step == 700:
                break
    lines = stream.getvalue().splitlines()
    assert lines[:4] == [f"training {share}%: step {share}0" for share in (10, 20, 30, 40)]
    assert lines[4:6] == ["training 50%: step 500", "training 50%: step 503"]
    later = [*range(500, 600, 3), *range(600, 700, 3), 700]
    assert [int(line.rpartition(" ")[2]) for line in lines[4:]] == later


def test_a_terminal_gets_bars_with_percentage_and_eta(plain_terminal: None) -> None:
    stream = Terminal()
    with TerminalProgress(stream) as progress:
        progress.update("exporting", 1.0)
        progress.note("a [red]note")
        progress.update("training", 0.5, "[bold]loss[/bold] 0.1\x1b[2J")
    made = stream.getvalue()
    for part in ("exporting done in", "training", " 50%", "ETA", "[bold]loss", "a [red]note"):
        assert part in made
    assert "\x1b[2J" not in made


def test_a_long_message_leaves_room_for_the_bar(monkeypatch: pytest.MonkeyPatch, plain_terminal: None) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    long = "onnxruntime fp32 x1 runs at 1.16x (1.13 to 1.21) the speed of ONNX Runtime's default on the source graph"
    with TerminalProgress(stream) as progress:
        progress.update("training", 1.0, long)
        progress.update("compile", 0.5, long)
    made = stream.getvalue()
    assert f": {long}" in made  # the end of a stage is told in full
    last = made.rpartition("compile")[2]
    assert " 50%" in last
    assert "ETA" in last
    assert "onnxruntime" in last
    assert "source graph" not in last


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_an_interrupt_says_what_is_kept(plain_terminal: None, stream: io.StringIO) -> None:
    with pytest.raises(KeyboardInterrupt), TerminalProgress(stream, interrupted="it goes on"):
        raise KeyboardInterrupt
    assert stream.getvalue().endswith("it goes on\n")


def test_the_cursor_comes_back_after_an_error(plain_terminal: None) -> None:
    stream = Terminal()

    def interrupted(progress: Any) -> None:
        progress.update("training", 0.5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), TerminalProgress(stream) as progress:
        interrupted(progress)
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def test_an_interrupt_that_a_library_swallows_ends_the_work_at_the_next_update() -> None:
    script = """
import contextlib, io, signal
from chipwise.views.terminal import TerminalProgress

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
try:
    with TerminalProgress(io.StringIO()) as progress:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        print("swallowed")
        progress.update("compile", 0.5)
        print("went on")
except KeyboardInterrupt:
    print("ended", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "swallowed\nended True\n"), done.stderr


def test_an_interrupt_of_which_a_library_makes_another_error_is_still_one() -> None:
    script = """
import io, signal
from chipwise.core.errors import NetworkError
from chipwise.views.terminal import TerminalProgress

signal.signal(signal.SIGINT, signal.default_int_handler)
stream = io.StringIO()
try:
    with TerminalProgress(stream, interrupted="it goes on"):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise NetworkError("cannot export") from error
except KeyboardInterrupt as error:
    print(type(error.__cause__).__name__, stream.getvalue())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "NetworkError it goes on\n\n"), done.stderr
